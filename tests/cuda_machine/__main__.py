"""`python -m cuda_machine [--devices 2] [--memory BYTES] [--late] (-m MODULE | FILE) ...`

Runs a program with the stand-in for CuPy, here and in the Python processes that it starts.
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import sys
from pathlib import Path

import cuda_machine


def main(words: list[str]) -> None:
    """Read the options before the program; all else is the program's."""
    parser = argparse.ArgumentParser(prog="python -m cuda_machine", description=__doc__)
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--memory", type=int, default=4 << 30, help="bytes that each device has")
    parser.add_argument("--late", action="store_true", help="work runs only when something waits for it")
    parser.add_argument("program", nargs=argparse.REMAINDER)
    first = 0
    while first < len(words) and words[first].startswith("--"):
        first += 2 if words[first] in ("--devices", "--memory") else 1
    options, program = parser.parse_args(words[:first]), words[first:]
    if not program or program == ["-m"]:
        parser.error("which program? -m MODULE, or a file")
    settings = {"devices": options.devices, "memory": options.memory, "late": options.late}
    here = Path(__file__).resolve().parent
    os.environ[cuda_machine.OPTIONS] = json.dumps(settings)
    paths = [str(here / "start"), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)), str(here.parent)]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    cuda_machine.install(**settings)
    if program[0] == "-m":
        sys.argv = program[1:]
        runpy.run_module(program[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = program
        sys.path.insert(0, str(Path(program[0]).resolve().parent))
        runpy.run_path(program[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
