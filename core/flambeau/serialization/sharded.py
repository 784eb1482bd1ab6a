"""Checkpoints in several files, with an index that says which tensor is where: as Hugging Face writes them.

    model-00001-of-00003.safetensors ...   and  model.safetensors.index.json
    pytorch_model-00001-of-00003.bin ...   and  pytorch_model.bin.index.json

What fits one file is one file (`model.safetensors`) without an index. Tensors that share memory (tied weights) are
written once; the file's metadata say under which other names they go.

All files are written under temporary names first and renamed at the end, the index last. Files of two saves in one
folder would be a model that never was, so those of one save carry a mark, and a reader refuses a mixture.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from flambeau.errors import ArgumentTypeError, ArgumentValueError
from flambeau.serialization import safetensors
from flambeau.serialization.storage import FileFormatError

if TYPE_CHECKING:
    from flambeau.tensor import Tensor

__all__ = ["LoadResult", "load_sharded", "save_sharded"]

Path: TypeAlias = "str | os.PathLike[str]"
SAFE, PICKLED = "model.safetensors", "pytorch_model.bin"
INDEX = ".index.json"
_MARK = "save_id"
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
          "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


class LoadResult(NamedTuple):
    """The names that a module has and the files lack, and the other way round."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def parse_size(size: int | str) -> int:
    """A number of bytes, given as such or as "5GB" (10**9) or "5GiB" (2**30). ValueError for anything else.

    >>> parse_size("1.5MB"), parse_size("1KiB"), parse_size(10)
    (1500000, 1024, 10)
    """
    if isinstance(size, int) and not isinstance(size, bool) and size > 0:
        return size
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", size) if isinstance(size, str) else None
    if match is None or match[2].upper() not in _UNITS or not float(match[1]):
        raise ArgumentValueError(f"max_shard_size must be a number of bytes or a text such as '5GB' or '500MiB', got "
                                 f"{size!r}")
    return int(float(match[1]) * _UNITS[match[2].upper()])


# -- writing

def save_sharded(state: Any, folder: Path, max_shard_size: int | str = "5GB", *, safe_serialization: bool = True,
                 filename: str | None = None, metadata: Mapping[str, str] | None = None) -> list[str]:
    """Write a module's state, or a mapping of names to tensors, as one or several files in a folder.

    No file is larger than `max_shard_size` bytes unless a single tensor is. `safe_serialization=False` writes files of
    `torch.save` instead. `filename` is the name that a single file would have ("model.safetensors"). An earlier
    checkpoint of that name in the folder is replaced. Returns the names of the files, the index last.

    Raises TypeError for values that are no tensors, ValueError for a wrong size.

    >>> import os, tempfile
    >>> import flambeau as torch
    >>> from flambeau.serialization import load_sharded, save_sharded
    >>> model = torch.nn.Linear(100, 10)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_sharded(model, folder, max_shard_size="2KB")
    ...     load_sharded(torch.nn.Linear(100, 10), folder)
    ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors', 'model.safetensors.index.json']
    LoadResult(missing_keys=[], unexpected_keys=[])
    """
    from flambeau.serialization import _files

    tensors = _tensors(state)
    limit = parse_size(max_shard_size)
    name = filename or (SAFE if safe_serialization else PICKLED)
    kept, others = _without_doubles(tensors)
    shards = _split(kept, limit)
    names = _names(name, len(shards))
    texts = {**(metadata or {}), **others}
    texts.setdefault("format", "pt")
    if len(shards) > 1:
        texts[_MARK] = secrets.token_hex(8)
    folder = os.fspath(folder)
    os.makedirs(folder, exist_ok=True)
    former = _files_of(folder, name)
    with ExitStack() as writing:  # the temporary files take their names when all are written, in the order of `names`
        for shard, file in reversed(list(zip(shards, names, strict=True))):
            target = os.path.join(folder, file)
            stream, inner = writing.enter_context(_files.open_for_writing(target))
            if safe_serialization:
                _write_safe(stream, shard, texts)
            else:
                _write_pickled(stream, inner, {**shard, **_again(tensors, shard, others)})
            stream.flush()
            os.fsync(stream.fileno())  # now, so that the renames follow one another quickly
    if len(shards) > 1:
        names = [*names, name + INDEX]
        _write_index(os.path.join(folder, name + INDEX), shards, names, texts, others, safe_serialization)
    for each in former - set(names):
        os.unlink(os.path.join(folder, each))
    return names


def _tensors(state: Any) -> dict[str, Tensor]:
    from flambeau.tensor import Tensor

    tensors = state.state_dict() if hasattr(state, "state_dict") else state
    if not isinstance(tensors, Mapping):
        raise ArgumentTypeError(f"save_sharded: expected a module or a mapping of names to tensors, got "
                                f"{type(state).__name__}")
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise ArgumentTypeError(f"save_sharded: {name!r} is a {type(tensor).__name__}; such files hold named "
                                    "tensors only, use torch.save for everything else")
    return dict(tensors)


def _without_doubles(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors without those that are another one once more, and the names of these with those of the others.

    Different views of one storage are copied: the format keeps no views.
    """
    kept: dict[str, Tensor] = {}
    others: dict[str, str] = {}
    for names in safetensors.sharing(tensors):
        for place, name in enumerate(names):
            first = next((each for each in names[:place] if _is_same(tensors[each], tensors[name])), None)
            if first is not None:
                others[name] = others.get(first, first)
            else:
                kept[name] = tensors[name] if place == 0 else tensors[name].detach().clone()
    return {name: kept[name] for name in tensors if name in kept}, others


def _is_same(one: Tensor, other: Tensor) -> bool:
    return ((one.dtype, tuple(one.shape), tuple(one.stride()), one.storage_offset())
            == (other.dtype, tuple(other.shape), tuple(other.stride()), other.storage_offset()))


def _split(tensors: dict[str, Tensor], limit: int) -> list[dict[str, Tensor]]:
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in tensors.items():
        nbytes = tensor.numel() * tensor.dtype.itemsize
        if shards[-1] and size + nbytes > limit:
            shards.append({})
            size = 0
        shards[-1][name] = tensor
        size += nbytes
    return shards


def _names(name: str, count: int) -> list[str]:
    stem, dot, suffix = name.rpartition(".")
    return [name] if count == 1 else [f"{stem}-{i:05d}-of-{count:05d}{dot}{suffix}" for i in range(1, count + 1)]


def _files_of(folder: str, name: str) -> set[str]:
    """The files of a checkpoint of this name, whatever number of them."""
    stem, _, suffix = name.rpartition(".")
    pattern = re.compile(rf"{re.escape(stem)}(-\d{{5}}-of-\d{{5}})?\.{re.escape(suffix)}")
    return {each for each in os.listdir(folder) if pattern.fullmatch(each) or each == name + INDEX}


def _write_safe(file: Any, shard: dict[str, Tensor], texts: dict[str, str]) -> None:
    header, ordered = safetensors._prepared({name: each.detach() for name, each in shard.items()}, texts)
    file.write(header)
    for tensor in ordered:
        file.write(safetensors._bytes_of(tensor))


def _again(tensors: dict[str, Tensor], shard: dict[str, Tensor], others: dict[str, str]) -> dict[str, Tensor]:
    """The second names of a shard's tensors: a pickle keeps what is one."""
    return {name: tensors[first] for name, first in others.items() if first in shard}


def _write_pickled(file: Any, inner: str, shard: dict[str, Tensor]) -> None:
    from flambeau.serialization import _archive, _pickler

    _archive.write(file, inner, _pickler.dump(shard, None, 2))


def _write_index(path: str, shards: list[dict[str, Tensor]], names: list[str], texts: dict[str, str],
                 others: dict[str, str], safe: bool) -> None:
    from flambeau.serialization import _files

    where = {tensor: file for shard, file in zip(shards, names, strict=False) for tensor in shard}
    total = sum(each.numel() * each.dtype.itemsize for shard in shards for each in shard.values())
    if not safe:  # the second names are in the files too
        where.update({name: where[first] for name, first in others.items()})
    index = {"metadata": {"total_size": total, **(texts if safe else {})}, "weight_map": dict(sorted(where.items()))}
    with _files.open_for_writing(path) as (file, _):
        file.write(json.dumps(index, indent=2, ensure_ascii=False).encode() + b"\n")


# -- reading

def load_sharded(model: Any, folder: Path, strict: bool = True, *, device: Any = "cpu") -> Any:
    """Load a checkpoint of one or several files into a module, or, with None, return its tensors by name.

    `folder` is the folder, the index file or the single file. Safetensors are preferred where both kinds are there.
    Into a module the tensors are loaded file by file, so that no more than one is held; returns the names that did not
    fit (`missing_keys`, `unexpected_keys`), which are a RuntimeError with `strict`. A name that is missing in the
    files but shares its tensor with one that is there (tied weights) is not missing.

    Raises FileNotFoundError if there is no checkpoint or a file of it is missing, RuntimeError for damaged or mixed
    files. See `save_sharded` for an example.
    """
    files, marks, others = _found(os.fspath(folder))
    if model is None:
        tensors: dict[str, Tensor] = {}
        for file, expected in files.items():
            tensors.update(_read(file, expected, marks, others, device))
        return {**tensors, **{name: tensors[first] for name, first in others.items() if first in tensors}}
    own = model.state_dict(keep_vars=True)
    missing, unexpected, problems = set(own), [], []
    for file, expected in files.items():
        tensors = _read(file, expected, marks, others, device)
        unexpected += [name for name in tensors if name not in own]
        here = {name: tensor for name, tensor in tensors.items() if name in own}
        missing -= set(here)
        try:
            model.load_state_dict(here, strict=False)
        except RuntimeError as error:  # sizes that differ
            problems.append(str(error))
    missing -= _tied(own, missing)
    unexpected += [name for name in others if name not in own]
    return _judged(model, [name for name in own if name in missing], unexpected, problems, strict)


def _judged(model: Any, missing: list[str], unexpected: list[str], problems: list[str], strict: bool) -> LoadResult:
    if strict and missing:
        problems.append(f"Missing key(s) in state_dict: {', '.join(map(repr, missing))}.")
    if strict and unexpected:
        problems.append(f"Unexpected key(s) in state_dict: {', '.join(map(repr, unexpected))}.")
    if problems:
        raise FileFormatError(f"Error(s) in loading state_dict for {type(model).__name__}:\n\t" + "\n\t".join(problems))
    return LoadResult(missing, unexpected)


def _tied(own: Mapping[str, Any], missing: set[str]) -> set[str]:
    """Those of the missing names whose tensor was loaded under another name."""
    loaded = {id(tensor) for name, tensor in own.items() if name not in missing}
    return {name for name in missing if id(own[name]) in loaded}


def _found(path: str) -> tuple[dict[str, set[str] | None], str | None, dict[str, str]]:
    """The files, each with the tensors that it must hold; the mark of the save; the second names of tensors."""
    if not os.path.isdir(path):
        if path.endswith(INDEX):
            return _from_index(path)
        return {path: None}, None, _second_names(path)
    for name in (SAFE, PICKLED):
        whole = os.path.join(path, name)
        if os.path.exists(whole + INDEX):
            return _from_index(whole + INDEX)
        if os.path.exists(whole):
            return {whole: None}, None, _second_names(whole)
    raise FileNotFoundError(f"load_sharded: no checkpoint in {path}; looked for {SAFE}, {SAFE}{INDEX}, {PICKLED} and "
                            f"{PICKLED}{INDEX}")


def _from_index(path: str) -> tuple[dict[str, set[str] | None], str | None, dict[str, str]]:
    with open(path, encoding="utf-8") as file:
        try:
            index = json.load(file)
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise FileFormatError(f"load_sharded: {path} is no JSON: {error}") from error
    where = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(where, dict) or not all(isinstance(each, str) for each in where.values()):
        raise FileFormatError(f"load_sharded: {path} has no weight_map of names to files")
    folder = os.path.dirname(path)
    files: dict[str, set[str] | None] = {}
    for tensor, name in where.items():
        if os.path.basename(name) != name:
            raise FileFormatError(f"load_sharded: {path} names the file {name[:100]!r}, which is not beside it")
        files.setdefault(os.path.join(folder, name), set()).add(tensor)  # type: ignore[union-attr]
    absent = [each for each in files if not os.path.exists(each)]
    if absent:
        raise FileNotFoundError(f"load_sharded: {path} names files that are not there: {', '.join(absent)}")
    texts = index.get("metadata") or {}
    others = {name: first for name, first in texts.items() if name not in where and first in where}
    return dict(sorted(files.items())), texts.get(_MARK), others


def _second_names(path: str) -> dict[str, str]:
    if not path.endswith(".safetensors"):
        return {}
    with safetensors.safe_open(path) as file:
        names = set(file.keys())
        return {name: first for name, first in (file.metadata() or {}).items() if first in names and name not in names}


def _read(path: str, expected: set[str] | None, mark: str | None, others: dict[str, str],
          device: Any) -> dict[str, Tensor]:
    if path.endswith(".safetensors"):
        with safetensors.safe_open(path, device=device) as file:
            found = (file.metadata() or {}).get(_MARK)
            tensors = {name: file.get_tensor(name) for name in file.offset_keys()}
        if mark is not None and found != mark:
            raise FileFormatError(f"load_sharded: {path} is of another save than the index; the save was interrupted, "
                                  "or files of two checkpoints were mixed")
    else:
        from flambeau.serialization import load

        tensors = load(path, map_location=device, weights_only=True)
    lacking = sorted((expected or set()) - set(tensors))
    if lacking:
        raise FileFormatError(f"load_sharded: {path} lacks {', '.join(lacking[:10])}, which the index says it has")
    return tensors
