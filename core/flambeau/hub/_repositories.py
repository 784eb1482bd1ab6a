"""Models from repositories: a folder, or a repository on GitHub, whose `hubconf.py` says what it offers.

A repository's code is run, so one that nobody has said to trust is asked about first; the answer is kept in PyTorch's
own list beside the downloaded repositories.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.error import URLError

from flambeau.errors import ArgumentError, ArgumentTypeError, ArgumentValueError
from flambeau.hub._files import download_url_to_file, get_dir

__all__ = ["help", "list", "load"]

_GITHUB = "https://github.com/"
_API = "https://api.github.com/repos/"
_TRUSTED_OWNERS = frozenset(("facebookresearch", "facebookincubator", "pytorch", "fairinternal"))
_BRANCHES = ("main", "master")  # where nobody names one
_PAGE = 100


def list(
    github: str,
    force_reload: bool = False,
    skip_validation: bool = False,
    trust_repo: bool | str = "check",
    verbose: bool = True,
) -> Any:
    """The names of what a repository on GitHub offers, sorted; the arguments are those of `load`."""
    module = _hubconf(_repository(github, trust_repo, force_reload, verbose, skip_validation))
    return sorted(name for name, value in vars(module).items() if callable(value) and not name.startswith("_"))


def help(
    github: str,
    model: str,
    force_reload: bool = False,
    skip_validation: bool = False,
    trust_repo: bool | str = "check",
) -> str | None:
    """The documentation of what a repository on GitHub offers as `model`; the arguments are those of `load`."""
    module = _hubconf(_repository(github, trust_repo, force_reload, True, skip_validation))
    return _entry(module, model).__doc__


def load(
    repo_or_dir: str | os.PathLike[str],
    model: str,
    *args: Any,
    source: str = "github",
    trust_repo: bool | str = "check",
    force_reload: bool = False,
    verbose: bool = True,
    skip_validation: bool = False,
    **kwargs: Any,
) -> Any:
    """What the function `model` in a repository's `hubconf.py` gives for these arguments: a model, as a rule.

    Args:
        repo_or_dir: ``owner/name`` or ``owner/name:ref`` (a branch or a tag), or a folder.
        model: the function.
        args, kwargs: its arguments.
        source: "github" or "local" (a folder).
        trust_repo: run the repository's code without asking; "check" asks unless it was trusted before, False asks.
        force_reload: download it even if it is on this machine.
        verbose: say on standard error which copy is used.
        skip_validation: do not ask GitHub whether the branch or tag is the repository's own.

    Raises ValueError for another `source` or an unknown branch or tag, RuntimeError for a missing function or packages
    that the repository needs.

    >>> import pathlib
    >>> import flambeau as torch
    >>> _ = pathlib.Path("hubconf.py").write_text("def line(size, bias=True): return ('a line', size, bias)")
    >>> torch.hub.load(".", "line", 3, source="local", bias=False)
    ('a line', 3, False)
    """
    if source.lower() not in ("github", "local"):
        raise ArgumentValueError(f'Unknown source: "{source}". Allowed values: "github" | "local".')
    if source.lower() == "github":
        repo_or_dir = _repository(os.fspath(repo_or_dir), trust_repo, force_reload, verbose, skip_validation)
    return _entry(_hubconf(Path(repo_or_dir)), model)(*args, **kwargs)


def _hubconf(folder: Path) -> ModuleType:
    """The module `hubconf.py` of a folder, which may import what lies beside it."""
    place = os.path.abspath(folder)
    sys.path.insert(0, place)
    try:
        spec = importlib.util.spec_from_file_location("hubconf", os.path.join(place, "hubconf.py"))
        assert spec is not None and spec.loader is not None  # for a path that ends with .py there are both
        module = importlib.util.module_from_spec(spec)
        sys.modules["hubconf"] = module
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(place)


def _entry(module: ModuleType, name: str) -> Callable[..., Any]:
    if not isinstance(name, str):
        raise ArgumentValueError("Invalid input: model should be a string of function name")
    missing = [each for each in getattr(module, "dependencies", ()) if not _installed(each)]
    if missing:
        raise ArgumentError(f"Missing dependencies: {', '.join(missing)}")
    entry = getattr(module, name, None)
    if not callable(entry):
        raise ArgumentError(f"Cannot find callable {name} in hubconf")
    return entry


def _installed(package: str) -> bool:
    return package in sys.modules or importlib.util.find_spec(package) is not None


# ---------------------------------------------------------------------------------------------------------- GitHub


def _repository(github: str, trust_repo: bool | str, force: bool, verbose: bool, skip_validation: bool) -> Path:
    """The folder of a repository, downloaded if need be."""
    if trust_repo not in (True, False, "check"):
        raise ArgumentTypeError(f"trust_repo: True, False or 'check' expected, got {trust_repo!r}")
    repository, _, ref = github.partition(":")
    owner, slash, name = repository.partition("/")
    if not slash or not owner or not name or "/" in name:
        raise ArgumentValueError(f"{github!r} names no repository: owner/name or owner/name:ref expected")
    root = Path(get_dir())
    ref = ref or _default_branch(owner, name, root)
    folder = root / "_".join((owner, name, ref.replace("/", "_")))
    _check_trust(owner, name, trust_repo, root)
    if folder.exists() and not force:
        if verbose:
            sys.stderr.write(f"Using cache found in {folder}\n")
        return folder
    if not skip_validation:
        _check_ref(owner, name, ref)
    _unpack(f"{_GITHUB}{owner}/{name}/zipball/{ref}", folder)
    return folder


def _default_branch(owner: str, name: str, root: Path) -> str:
    """`main` where there is one, else `master`; without a network the one that is on this machine."""
    try:
        return _BRANCHES[0] if _answers(f"{_GITHUB}{owner}/{name}/tree/{_BRANCHES[0]}/") else _BRANCHES[1]
    except URLError as error:
        for branch in _BRANCHES:
            if (root / f"{owner}_{name}_{branch}").exists():
                return branch
        raise ArgumentError(
            f"It looks like there is no internet connection and {owner}/{name} could not be found in the cache "
            f"({root}): {error}") from error  # fmt: skip


def _answers(url: str) -> bool:
    """Whether there is anything at this address."""
    from urllib.error import HTTPError
    from urllib.request import urlopen

    try:
        with urlopen(url, timeout=20):
            return True
    except HTTPError as error:
        if error.code == 404:
            return False
        raise


def _check_ref(owner: str, name: str, ref: str) -> None:
    """GitHub gives a fork's commits for the original's address, too: only the repository's own names are taken."""
    import json
    from urllib.request import urlopen

    for kind in ("branches", "tags"):
        page = 0
        found: Any = [None] * _PAGE
        while len(found) == _PAGE:
            page += 1
            with urlopen(f"{_API}{owner}/{name}/{kind}?per_page={_PAGE}&page={page}", timeout=20) as response:
                found = json.load(response)
            if any(each["name"] == ref or each["commit"]["sha"].startswith(ref) for each in found):
                return
    raise ArgumentValueError(f"Cannot find {ref} in https://github.com/{owner}/{name}. If it's a commit from a forked "
                             "repo, please call hub.load() with forked repo directly.")  # fmt: skip


def _check_trust(owner: str, name: str, trust_repo: bool | str, root: Path) -> None:
    """Ask about code that nobody has said to trust; keep what is trusted in a list."""
    path = root / "trusted_list"
    both = f"{owner}_{name}"
    trusted = path.exists() and both in path.read_text(encoding="utf-8").split()
    if trusted or (trust_repo == "check" and owner in _TRUSTED_OWNERS):
        return
    if trust_repo is not True:
        answer = input(
            f"The repository {owner}/{name} does not belong to the list of trusted repositories and as such cannot be "
            "used. Do you trust this repository and wish to add it to the trusted list of repositories (y/N)? ")
        if answer.strip().lower() not in ("y", "yes"):
            raise ArgumentError("Untrusted repository.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(both + "\n")


def _unpack(url: str, folder: Path) -> None:
    """Put the one folder that an archive holds in the place of `folder`."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    sys.stderr.write(f'Downloading: "{url}" to {folder}\n')
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        archive = Path(temporary) / "archive.zip"
        download_url_to_file(url, archive, progress=False)
        content = Path(temporary) / "content"
        with zipfile.ZipFile(archive) as file:
            file.extractall(content)  # which refuses to leave the folder
        shutil.rmtree(folder, ignore_errors=True)
        next(content.iterdir()).rename(folder)
