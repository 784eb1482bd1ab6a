"""`flambeau primitives`: the kernels that a backend owes, as they are called, and which of them a device has.

The list is the table of operators, so nothing here has to be kept up to date.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from flambeau.cli._errors import UsageError

_EPILOG = """\
examples:
  flambeau primitives                  what a new backend owes
  flambeau primitives --device cpu     which of them a device has, and what happens without the others
  flambeau primitives --json           the same for a program

A kernel takes the backend's arrays where the operator takes tensors and plain Python values elsewhere, in the order
shown, and returns a new array, or a tuple of them where several are named. Everything that is not listed is made of
these; without a kernel, an operator runs on the host (it says so once), or it is refused where that makes no sense.
"""


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "primitives",
        help="list the kernels that a backend owes, and which a device has",
        description="List the primitives: the operators that are not expressed by others, for which a backend owes "
        "a kernel.",
        epilog=_EPILOG,
    )
    parser.add_argument("--device", metavar="NAME", help="say of each whether this device has it")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def main(arguments: argparse.Namespace) -> int:
    import flambeau  # noqa: F401 - it fills the table

    rows = [describe(name) for name in _names()]
    if arguments.device is not None:
        kernels = _kernels(arguments.device)
        for row in rows:
            row["here"] = "kernel" if row["name"] in kernels else row["without"]
    if arguments.json:
        print(json.dumps({"count": len(rows), "device": arguments.device, "primitives": rows}, indent=2))
    else:
        _show(rows, arguments.device)
    return 0


def _names() -> list[str]:
    from flambeau.registry import primitives

    return primitives()


def _kernels(name: str) -> Any:
    from flambeau import discovery
    from flambeau.device import device
    from flambeau.errors import DeviceError

    try:
        return discovery.backend_for(device(name).type).kernels
    except DeviceError as error:
        raise UsageError(f"--device {name}: {error}") from error


def describe(name: str) -> dict[str, Any]:
    """A primitive as a record of plain values.

    >>> row = describe("cummax")
    >>> row["signature"], row["outputs"], row["without"]
    ('cummax(input, dim)', ['values', 'indices'], 'fallback')
    >>> describe("full")["without"]
    'refused'
    """
    from flambeau.registry import OPERATORS

    record = OPERATORS[name]
    text = record.function.__doc__ or record.doc
    return {
        "name": name,
        "group": record.module.rpartition(".")[2].replace("_", " "),
        "family": record.family,
        "signature": f"{name}({', '.join(record.kernel_parameters)})",
        "outputs": list(record.outputs),
        "meaning": " ".join(text.partition("\n\n")[0].split()),
        "without": "refused" if record.no_fallback else "fallback",
    }


def _show(rows: list[dict[str, Any]], device: str | None) -> None:
    """Print the list by group, a line for each kernel and one for its meaning."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["group"], []).append(row)
    for group, members in sorted(groups.items()):
        print(f"{group}")
        for row in members:
            outputs = f" -> {', '.join(row['outputs'])}" if len(row["outputs"]) > 1 else ""
            mark = f"{_MARKS[row['here']]:10}" if device is not None else ""
            print(f"  {mark}{row['signature']}{outputs}")
            print(f"  {' ' * len(mark)}    {row['meaning']}")
    if device is None:
        print(f"\n{len(rows)} primitives")
        return
    counts = {way: sum(row["here"] == way for row in rows) for way in _MARKS}
    here, host, refused = (counts[way] for way in ("kernel", "fallback", "refused"))
    print(f"\n{len(rows)} primitives; {device} has a kernel for {here}; {host} run on the host, {refused} are refused")


_MARKS = {"kernel": "kernel", "fallback": "on host", "refused": "refused"}
