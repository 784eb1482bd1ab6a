"""Downloading a data file: several mirrors, a checksum, and nothing left in place that failed it.

The file is written beside its destination under another name and only moved there once its checksum is right, so
whoever finds the file can trust it, even after a crash or with two programs downloading at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from flambeau.errors import FlambeauError

_CHUNK = 1 << 16
_TIMEOUT_SECONDS = 20


class MissingDataError(FlambeauError, RuntimeError):
    """Data that is not on this machine, or that no mirror delivered."""


def download(urls: Sequence[str], path: Path, md5: str) -> None:
    """Get `path` from the first of `urls` that delivers bytes with this MD5 checksum.

    Raises MissingDataError (a RuntimeError) that says what went wrong with each of them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    problems = []
    for url in urls:
        problem = _try_one(url, path, md5)
        if problem is None:
            return
        problems.append(f"  {url}: {problem}")
    raise MissingDataError(
        f"Could not download {path.name} from any of {len(urls)} addresses:\n" + "\n".join(problems) + "\n"
        f"Look at the network (or proxy), or put the file into {path.parent} by hand"
    )


def _try_one(url: str, path: Path, md5: str) -> str | None:
    """None for success, else the reason for the failure."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name + ".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            digest = _fetch(url, file.write)
        if digest != md5:
            return f"checksum is {digest}, expected {md5}"
        os.replace(name, path)
        return None
    except OSError as error:  # URLError, HTTPError, timeouts and a full disk are all OSErrors
        return str(error)
    finally:
        Path(name).unlink(missing_ok=True)  # also on Ctrl-C; after success it is not there any more


def _fetch(url: str, write: Callable[[bytes], object]) -> str:
    import http.client
    import urllib.request

    request = urllib.request.Request(url, headers={"User-Agent": "flambeau"})
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
            total = int(response.headers.get("Content-Length") or 0)
            with _progress(url.rsplit("/", 1)[-1], total) as advance:
                while chunk := response.read(_CHUNK):
                    write(chunk)
                    digest.update(chunk)
                    advance(len(chunk))
    except http.client.HTTPException as error:  # the connection broke in the middle
        raise OSError(f"incomplete answer: {error!r}") from error
    return digest.hexdigest()


@contextlib.contextmanager
def _progress(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar where standard error is a terminal and rich is installed; else one plain line."""
    try:
        from rich import progress
        from rich.console import Console
    except ImportError:
        progress = None  # type: ignore[assignment]
    if progress is None or not sys.stderr.isatty():
        sys.stderr.write(f"Downloading {name}" + (f" ({total / 1e6:.1f} MB)\n" if total else "\n"))
        yield lambda count: None
        return
    columns = ("[progress.description]{task.description}", progress.BarColumn(), progress.DownloadColumn(),
               progress.TransferSpeedColumn(), progress.TimeRemainingColumn())  # fmt: skip
    with progress.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=total or None)
        yield lambda count: bar.advance(task, count)
