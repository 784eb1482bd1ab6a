"""Files that programs download: pretrained parameters, above all.

A file is written beside its destination under another name, and only moved there when it is whole and, where the
caller knows a checksum, right: whoever finds the file can trust it, even after a crash or with two programs
downloading at once. The folder is PyTorch's own (TORCH_HOME, else XDG_CACHE_HOME/torch, else ~/.cache/torch), so that
what one of them has downloaded the other finds.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.parse import urlparse

from flambeau.errors import FlambeauError

if TYPE_CHECKING:
    from flambeau.serialization import MapLocation

__all__ = ["download_url_to_file", "get_dir", "load_state_dict_from_url", "set_dir"]

_CHUNK = 1 << 17
_TIMEOUT_SECONDS = 20
_HASH_IN_NAME = re.compile(r"-([a-f0-9]*)\.")

_folder: str | None = None


class DownloadError(FlambeauError, URLError):
    """A file that could not be downloaded; PyTorch lets urllib's URLError through in the same place."""

    def __str__(self) -> str:
        return str(self.reason)


class ChecksumError(FlambeauError, RuntimeError):
    """A downloaded file whose bytes are not those that were asked for."""


def get_dir() -> str:
    """The folder of downloaded files: what `set_dir` set, else ``hub`` in PyTorch's cache.

    That cache is the folder in the environment variable TORCH_HOME, else ``torch`` in XDG_CACHE_HOME, else
    ``~/.cache/torch``.

    >>> import flambeau as torch
    >>> torch.hub.get_dir().endswith("hub")
    True
    """
    if _folder is not None:
        return _folder
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return os.path.join(os.path.expanduser(os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))), "hub")


def set_dir(d: str | os.PathLike[str]) -> None:
    """Keep downloaded files in the folder `d` from now on; it is created when it is needed.

    >>> import flambeau as torch
    >>> before = torch.hub.get_dir()
    >>> torch.hub.set_dir("/tmp/parameters")
    >>> torch.hub.get_dir()
    '/tmp/parameters'
    >>> torch.hub.set_dir(before)
    """
    global _folder
    _folder = os.path.expanduser(os.fspath(d))


def download_url_to_file(
    url: str, dst: str | os.PathLike[str], hash_prefix: str | None = None, progress: bool = True
) -> None:
    """Download `url` to the path `dst`.

    Args:
        url: where the file is.
        dst: the path that it gets; what was there before is replaced.
        hash_prefix: the first digits of the SHA-256 checksum that the file must have.
        progress: show a bar on standard error.

    Raises DownloadError (a URLError) where the file cannot be had, RuntimeError where the checksum is another one, and
    FileNotFoundError where the folder does not exist. In each case `dst` stays as it was.
    """
    digest = hashlib.sha256()
    with replacing(Path(os.path.expanduser(os.fspath(dst)))) as write:
        try:
            fetch(url, write, digest.update, progress)
        except (OSError, ValueError) as error:
            raise DownloadError(_failure(url, dst, error)) from error
        found = digest.hexdigest()
        if hash_prefix is not None and not found.startswith(hash_prefix):
            raise ChecksumError(f'invalid hash value (expected "{hash_prefix}", got "{found}") for {url}; '
                                "nothing was kept: download it again")  # fmt: skip


def load_state_dict_from_url(
    url: str,
    model_dir: str | os.PathLike[str] | None = None,
    map_location: MapLocation = None,
    progress: bool = True,
    check_hash: bool = False,
    file_name: str | None = None,
    weights_only: bool = False,
) -> dict[str, Any]:
    """The saved parameters at `url`, downloaded unless they are on this machine already.

    Args:
        url: where the file is, a `.pth` file that `torch.save` wrote or a `.safetensors` file.
        model_dir: the folder that keeps it; ``checkpoints`` in `get_dir()` by default.
        map_location: where the tensors go, as for `torch.load`.
        progress: show a bar on standard error during a download.
        check_hash: the name ends with the first digits of the file's SHA-256 checksum, as in ``resnet18-f37072fd.pth``;
            download the file only if they are right.
        file_name: what the file is called on this machine; by default what it is called in `url`.
        weights_only: refuse a file that holds anything but tensors and plain values, as for `torch.load`.

    Raises DownloadError (a URLError) where the file cannot be had, RuntimeError where its checksum is another one.
    """
    folder = Path(os.path.join(get_dir(), "checkpoints") if model_dir is None else os.path.expanduser(model_dir))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (file_name or os.path.basename(urlparse(url).path))
    if not path.exists():
        match = _HASH_IN_NAME.search(path.name) if check_hash else None
        sys.stderr.write(f'Downloading: "{url}" to {path}\n')
        download_url_to_file(url, path, match[1] if match else None, progress)
    return load_state_dict(path, map_location, weights_only)


def load_state_dict(
    path: str | os.PathLike[str], map_location: MapLocation = None, weights_only: bool = True
) -> dict[str, Any]:
    """The saved parameters in a file on this machine, which its ending tells to be `.safetensors` or PyTorch's."""
    if os.fspath(path).endswith(".safetensors"):
        from flambeau.serialization.safetensors import load_file

        return load_file(path, "cpu" if map_location is None else map_location)
    from flambeau.serialization import load

    return load(path, map_location, weights_only=weights_only)


def fetch(
    url: str, write: Callable[[bytes], object], update: Callable[[bytes], object], progress: bool = True
) -> None:
    """Read `url` piece by piece into `write` and `update`; whatever goes wrong on the way is an OSError."""
    import http.client
    import urllib.request

    request = urllib.request.Request(url, headers={"User-Agent": "flambeau"})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
            total, count = int(response.headers.get("Content-Length") or 0), 0
            with _progress(url.rsplit("/", 1)[-1], total, progress) as advance:
                while chunk := response.read(_CHUNK):
                    write(chunk)
                    update(chunk)
                    count += len(chunk)
                    advance(len(chunk))
            if count < total:  # a connection that is closed early reads like the end of the file
                raise OSError(f"incomplete answer: {count} bytes of {total}")
    except http.client.HTTPException as error:  # the connection broke in the middle
        raise OSError(f"incomplete answer: {error!r}") from error


def _failure(url: str, path: str | os.PathLike[str], error: Exception) -> str:
    return (f"Could not download {url}: {error}. Look at the network (or proxy), or put the file into "
            f"{os.path.dirname(os.path.abspath(path))} by hand")  # fmt: skip


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Callable[[bytes], object]]:
    """Writes a file that takes the place of `path` if the block ends well, and is gone if it does not."""
    beside = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    try:
        with beside.open("xb") as file:  # with the rights that the user's files have, as tempfile's have not
            yield file.write
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)  # also on Ctrl-C; after success it is not there any more


@contextlib.contextmanager
def _progress(name: str, total: int, wanted: bool) -> Iterator[Callable[[int], None]]:
    """A bar where standard error is a terminal and rich is installed; else one plain line; nothing if not `wanted`."""
    if not wanted:
        yield lambda count: None
        return
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
