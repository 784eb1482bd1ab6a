"""Reports of the suite: what was found on a device, as a file that machines read and a page that people read.

`write_json` writes a report, one line per case and in a fixed order, so that two of them can be compared with any tool
that compares lines. `compact` shrinks one to what a repository may keep. `write_html` makes a page of it that needs
nothing else: no network, no other file. `python -m flambeau_conformance.report` does both from the command line.
"""

from __future__ import annotations

from flambeau_conformance.report.environment import environment
from flambeau_conformance.report.page import write_html
from flambeau_conformance.report.record import (
    CODES,
    FORMAT,
    STATUSES,
    WAYS,
    Report,
    Result,
    compact,
    differences,
    make,
    read,
    write_compact,
    write_json,
)

__all__ = ["CODES", "FORMAT", "STATUSES", "WAYS", "Report", "Result", "compact", "differences", "environment", "make",
           "read", "write_compact", "write_html", "write_json"]
