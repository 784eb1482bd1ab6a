"""Where a dying process writes what happened to it.

The interpreter's handlers of fatal signals are set once, and libraries of drivers, compilers above all, put their own
in their place when they are loaded. So they are set anew before whatever may crash.
"""

from __future__ import annotations

import faulthandler
from typing import IO

_files: list[IO[str]] = []


def write_to(file: IO[str]) -> None:
    """Let fatal signals be told to a file from now on."""
    _files[:] = [file]
    faulthandler.enable(file)


def renew() -> None:
    """Take the signals back, where there is a file."""
    if _files:
        faulthandler.disable()
        faulthandler.enable(_files[0])


def stop() -> None:
    """Before the file is closed."""
    _files.clear()
    faulthandler.disable()
