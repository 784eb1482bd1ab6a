"""`flambeau demo`: train a model on real data, watch it learn, stop and go on.

This module reads the command line and refuses what cannot work before any work is done; `_demo_tasks` says what there
is to train, `_demo_training` trains and `_demo_report` shows.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flambeau.cli._demo_recipes import RECIPES
from flambeau.cli._errors import UsageError

if TYPE_CHECKING:
    from flambeau.cli._demo_training import Settings

_EPILOG = """\
examples:
  flambeau demo                           five epochs of MNIST on the processor, about 98 % at the end
  flambeau demo --device cpu --epochs 1   one quick epoch
  flambeau demo --model resnet18          a residual network on the same digits: minutes, about 98 %
  flambeau demo --model transformer       learns to write as Shakespeare did, letter by letter
  flambeau demo --precision bfloat16      autocast: products in 16 bits, the rest in float32
  flambeau demo --data ~/datasets         where the data lies, or is to be downloaded to
  flambeau demo --out runs/first          where the checkpoint and the loss curve go
  flambeau demo --resume                  go on after Ctrl-C: the losses are those of an unbroken run
  flambeau demo --resume --epochs 8       train a finished run for longer

MNIST is looked for in --data (also in its subfolder MNIST/raw) and in the folder that the environment variable
FLAMBEAU_DATA names, and is downloaded where it is in neither; so is the text (tinyshakespeare/input.txt). Without a
network the demo trains on a small set of digits, or on a few scenes, that come with the package, and says so.
`pip install 'flambeau[demo]'` adds the progress bar (rich) and the picture of the loss curve (matplotlib).
"""

_PRECISIONS = ("float32", "bfloat16")


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "demo",
        help="train a classifier of handwritten digits, or a model that writes",
        description="Train a model on real data and show its loss, and how good it is on data that it has not seen.",
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("--device", metavar="NAME", help="where to compute (cpu); `flambeau devices` lists what there is")
    models = "; ".join(f"{name}: {recipe.about}" for name, recipe in RECIPES.items())
    add("--model", metavar="NAME", help=f"what to train (mlp). {models}")
    add("--epochs", type=int, metavar="N", help=f"passes over the training data ({_each('epochs')})")
    add("--batch-size", type=int, metavar="N", help=f"samples per step ({_each('batch_size')})")
    add("--seed", type=int, metavar="N", help="start of every random stream (0): the same seed, the same losses")
    add("--lr", type=float, metavar="X", help=f"learning rate in the first epoch ({_each('lr')})")
    add("--precision", metavar="NAME", help="what products are computed in, float32 or bfloat16 (float32)")
    add("--data", metavar="DIR", default="data", help="folder of the data (data)")
    add("--out", metavar="DIR", help="folder for the checkpoint and the loss curve (runs/demo, runs/demo-MODEL)")
    add("--resume", action="store_true", help="go on from the checkpoint in --out")
    return parser


def _each(name: str) -> str:
    """A default, for each model."""
    return ", ".join(f"{model} {getattr(recipe, name)}" for model, recipe in RECIPES.items())


def main(arguments: argparse.Namespace) -> int:
    from flambeau.cli import _demo_training as training

    _check_values(arguments)
    out = _folder(arguments)
    checkpoint = training.read_checkpoint(out) if arguments.resume else None
    settings = _settings(arguments, checkpoint)
    _check_device(settings.device)
    _check_folder(out)
    return training.run(settings, Path(arguments.data).expanduser(), out, checkpoint)


def _check_values(arguments: argparse.Namespace) -> None:
    if arguments.model is not None and arguments.model not in RECIPES:
        raise UsageError(f"--model must be one of {', '.join(RECIPES)}, got {arguments.model}; try `--model mlp`")
    if arguments.precision not in (None, *_PRECISIONS):
        raise UsageError(f"--precision must be one of {', '.join(_PRECISIONS)}, got {arguments.precision}; try "
                         "`--precision bfloat16`")
    for option, value, low in (("epochs", arguments.epochs, 1), ("batch-size", arguments.batch_size, 1),
                               ("seed", arguments.seed, 0)):  # fmt: skip
        if value is not None and not low <= value < 2**63:
            raise UsageError(f"--{option} must be at least {low}, got {value}; try `--{option} {max(low, 5)}`")
    if arguments.lr is not None and not (arguments.lr > 0 and math.isfinite(arguments.lr)):
        raise UsageError(f"--lr must be a positive number, got {arguments.lr}; try `--lr 1e-3`")


def _folder(arguments: argparse.Namespace) -> Path:
    """Where the run is kept: one folder per model, so that none overwrites another's."""
    usual = "runs/demo" if arguments.model in (None, "mlp") else f"runs/demo-{arguments.model}"
    return Path(arguments.out or usual).expanduser()


def _settings(arguments: argparse.Namespace, checkpoint: dict[str, Any] | None) -> Settings:
    """What was asked for, filled up from the checkpoint, then from the defaults."""
    from flambeau.cli._demo_training import Settings

    given = {name: getattr(arguments, name) for name in Settings._fields if hasattr(arguments, name)}
    asked = {name: value for name, value in given.items() if value is not None}
    before = checkpoint["settings"] if checkpoint else {}
    for name in ("model", "batch_size", "seed", "lr", "precision"):
        if name in asked and name in before and asked[name] != before[name]:
            option = "--" + name.replace("_", "-")
            raise UsageError(
                f"{option} {asked[name]} differs from {before[name]}, with which the checkpoint in "
                f"{_folder(arguments)} was trained; leave {option} out to go on, or --resume to start anew"
            )
    recipe = RECIPES[{**before, **asked}.get("model", "mlp")]
    usual = {name: getattr(recipe, name) for name in ("epochs", "batch_size", "lr")}
    return Settings(**{**usual, **before, **asked})


def _check_device(name: str) -> None:
    import flambeau

    try:
        flambeau.zeros(1, device=name)
    except RuntimeError as error:
        raise UsageError(f"--device {name}: {error}") from error


def _check_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise UsageError(
            f"--out {out}: cannot write there ({error.strerror}); choose another folder with --out DIR"
        ) from error
