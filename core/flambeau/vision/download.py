"""Downloading a data file: several mirrors, a checksum, and nothing left in place that failed it.

How a file is fetched and put in place is `flambeau.hub`'s; what is added here is the choice among mirrors, and MD5, the
checksum that data sets publish.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from flambeau.errors import FlambeauError
from flambeau.hub._files import fetch, replacing


class MissingDataError(FlambeauError, RuntimeError):
    """Data that is not on this machine, or that no mirror delivered."""


class _WrongChecksum(FlambeauError, OSError):
    """Bytes that are not those that were asked for."""


def download(urls: Sequence[str], path: Path, md5: str | None = None) -> None:
    """Get `path` from the first of `urls` that delivers bytes with this MD5 checksum (any bytes if it is None).

    Raises MissingDataError (a RuntimeError) that says what went wrong with each of them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    problems = []
    for url in urls:
        try:
            _get(url, path, md5)
            return
        except OSError as error:  # URLError, HTTPError, timeouts and a full disk are all OSErrors
            problems.append(f"  {url}: {error}")
    raise MissingDataError(
        f"Could not download {path.name} from any of {len(urls)} addresses:\n" + "\n".join(problems) + "\n"
        f"Look at the network (or proxy), or put the file into {path.parent} by hand"
    )


def _get(url: str, path: Path, md5: str | None) -> None:
    digest = hashlib.md5(usedforsecurity=False)
    with replacing(path) as write:
        fetch(url, write, digest.update)
        found = digest.hexdigest()
        if md5 is not None and found != md5:
            raise _WrongChecksum(f"checksum is {found}, expected {md5}")
