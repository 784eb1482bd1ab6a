"""`flambeau devices`: what this machine can compute on, and what to install for more."""

from __future__ import annotations

import argparse
from typing import Any

from flambeau.cli._tables import memory, table

_EPILOG = """\
examples:
  flambeau devices              every device that a plugin offers, ready or not

The first column is what a program says: torch.randn(3, device="cpu"). A device that is not ready has its reason and
the command that should mend it under the table. Devices without hardware, which are there for tests, share a line.
"""


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "devices",
        help="list the devices of this machine and what to install for more",
        description="List every device that an installed plugin offers, whether it is ready, and what is missing.",
        epilog=_EPILOG,
    )
    return parser


def main(arguments: argparse.Namespace) -> int:
    from flambeau import discovery

    rows, missing, simulated = [], [], []
    for backend in discovery.report():
        name = backend["name"]
        if backend["devices"] and discovery.backend_for(name).capabilities.simulated:
            simulated.append(name)
            continue
        for where, properties in backend["devices"]:
            size = memory(properties.total_memory)
            rows.append((str(where), "ready", properties.name, size, backend["origin"]))
        if not backend["devices"]:
            rows.append((name, "missing", "", "", backend["origin"]))
            missing.append(f"{name}: {backend['diagnosis']}" if backend["diagnosis"] else
                           f"{name}: {backend['reason']}\n    next step: {discovery.hint(name)}")
    print(table(("DEVICE", "STATE", "NAME", "MEMORY", "PROVIDED BY"), rows))
    if simulated:
        print(f"\nsimulated, for testing programs and backends: {', '.join(simulated)}")
    if missing:
        print("\n" + "\n".join(missing))
    return 0
