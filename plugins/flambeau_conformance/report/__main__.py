"""`python -m flambeau_conformance.report`: pages and compact forms of reports that were written before."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from flambeau_conformance.report.page import write_html
from flambeau_conformance.report.record import Report, differences, read, write_compact

_EPILOG = """\
examples:
  python -m flambeau_conformance.report opencl.json --html opencl.html
  python -m flambeau_conformance.report new.json --html new.html --compare old.json
  python -m flambeau_conformance.report opencl.json --compact docs/reports/2026-11-20-opencl.json
"""


def parser() -> argparse.ArgumentParser:
    """The command line of this module."""
    made = argparse.ArgumentParser(
        prog="python -m flambeau_conformance.report", epilog=_EPILOG,
        description="Make a page, or the compact form, of a report that `flambeau conformance` wrote.",
        formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("report", help="the report, as JSON")
    made.add_argument("--html", metavar="OUT", help="write the page to this file")
    made.add_argument("--compact", metavar="OUT", help="write the compact form to this file")
    made.add_argument("--compare", metavar="OLD", help="say what has changed since this report")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status is 1 where the comparison shows new failures, 2 for a file of no use."""
    arguments = parser().parse_args(argv)
    try:
        report = _whole(arguments.report)
        previous = _whole(arguments.compare) if arguments.compare else None
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if arguments.html:
        write_html(arguments.html, report, previous)
    if arguments.compact:
        write_compact(arguments.compact, report)
    changes = differences(previous, report) if previous else {}
    for kind, entries in changes.items():
        sys.stdout.write(f"{kind}: {len(entries)}\n")
    for each in changes.get("failures", ()):
        sys.stdout.write(f"  {each['id']}: was {each['old']}, is {each['new']}\n")
    return 1 if changes.get("failures") else 0


def _whole(path: str) -> Report:
    report = read(path)
    if report.get("compact"):
        raise ValueError(f"{path} is a compact report, which has no cases; give the report that it was made from")
    return report


if __name__ == "__main__":
    sys.exit(main())
