"""`flambeau summary`: a model's layers, shapes, parameters, multiply-adds and memory."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from flambeau.cli._errors import UsageError

_EPILOG = """\
examples:
  flambeau summary resnet18                          one of the models in flambeau.vision.models
  flambeau summary vit_b_16 --input 1,3,224,224 --depth 2
  flambeau summary nets.py:Net --input 64,1,28,28    a class, a function or a module object in a file of yours
  flambeau summary package.models:make --input 8,128 --dtype int64

A class or function is called without arguments. The model is called once with random numbers, on --device.
"""
_IMAGE = "1,3,224,224"


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "summary",
        help="the layers of a model, their shapes, parameters and multiply-adds",
        description="Show a model's layers with shapes, parameters, multiply-adds and memory.",
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="a name in flambeau.vision.models, or FILE.py:NAME, or MODULE:NAME")
    add("--input", metavar="SHAPE", action="append", help=f"shape of the input ({_IMAGE}); again for a second input")
    add("--dtype", metavar="NAME", default="float32", help="of the input (float32)")
    add("--device", metavar="NAME", default="cpu", help="where to compute (cpu)")
    add("--depth", type=int, metavar="N", default=3, help="levels of modules that are shown (3)")
    return parser


def main(arguments: argparse.Namespace) -> int:
    import flambeau
    from flambeau.utils.summary import summary

    shapes = [_shape(text) for text in arguments.input or [_IMAGE]]
    dtype = getattr(flambeau, arguments.dtype, None)
    if not isinstance(dtype, flambeau.dtype):
        raise UsageError(f"--dtype {arguments.dtype}: there is no such dtype; try `--dtype float32` or `--dtype int64`")
    model = _model(arguments.model)
    try:
        print(summary(model.to(arguments.device), shapes, depth=arguments.depth, dtype=dtype))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise UsageError(f"{arguments.model} cannot be called with an input of shape "
                         f"{' and '.join(map(str, shapes))}: {error}; give its shape with --input") from error
    return 0


def _shape(text: str) -> list[int]:
    try:
        sizes = [int(each) for each in text.replace("x", ",").split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 0:
        raise UsageError(f"--input must be sizes with commas between them, got {text}; try `--input {_IMAGE}`")
    return sizes


def _model(text: str) -> Any:
    """The module that the command line names."""
    from flambeau import nn

    place, _, name = text.rpartition(":")
    if not place:
        found = _vision_model(name)
    else:
        module = _load_file(Path(place)) if place.endswith(".py") else _import(place)
        found = getattr(module, name, None)
        if found is None:
            raise UsageError(f"{place} has no {name}; write MODEL as FILE.py:NAME or MODULE:NAME")
    model = found if isinstance(found, nn.Module) else found() if callable(found) else found
    if not isinstance(model, nn.Module):
        raise UsageError(f"{text} is no model but {type(model).__name__}; name a Module, its class, or a function that "
                         "returns one")
    return model


def _vision_model(name: str) -> Any:
    from flambeau.vision import models

    if name not in models.list_models():
        raise UsageError(f"{name} is none of flambeau.vision.models ({', '.join(models.list_models())}); for a model "
                         "of yours write FILE.py:NAME or MODULE:NAME")
    return getattr(models, name)


def _load_file(path: Path) -> Any:
    if not path.is_file():
        raise UsageError(f"there is no file {path}; write MODEL as FILE.py:NAME")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None  # the name ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))  # what the file imports may lie beside it
    spec.loader.exec_module(module)
    return module


def _import(name: str) -> Any:
    sys.path.insert(0, "")
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(f"{name} cannot be imported: {error}; write MODEL as FILE.py:NAME or MODULE:NAME") from error
