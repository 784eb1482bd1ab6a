"""Keeping freed memory for the next result.

Every operator makes a new array. By default glibc gives large blocks back to the system as soon as they are freed, and
the next array of that size pays for fresh pages: the sum of two tensors of 16 MB then takes several times as long as
the addition itself. With the thresholds set here, blocks of up to 32 MB stay with the process (at most `KEEP` bytes at
the end of its heap). FLAMBEAU_MALLOC=default leaves the allocator alone; other C libraries are left alone anyway.
"""

from __future__ import annotations

import ctypes
import os
import sys

KEEP = 256 << 20

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3   # malloc.h
_LARGEST_MMAP_THRESHOLD = 32 << 20              # what glibc accepts on 64-bit machines


def keep_freed_blocks() -> bool:
    """Set the thresholds; whether that was possible and wanted."""
    if not sys.platform.startswith("linux") or os.environ.get("FLAMBEAU_MALLOC") == "default":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD) and mallopt(_M_TRIM_THRESHOLD, KEEP))
