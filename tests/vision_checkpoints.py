"""Every model at its real size, from a `.pth` file that PyTorch wrote: a program to run before a release.

    python tests/vision_checkpoints.py              # all models, 224 x 224 (or what a model needs), one after the other
    python tests/vision_checkpoints.py resnet50 vit_b_16 --size 64 --device opencl

For each model PyTorch builds its own network (`torch_models`), draws parameters and batch-norm statistics, and saves
them with `torch.save`; `vision.models` loads the file through `weights=` and both see the same picture. The program
prints the names that differ (there must be none) and the largest difference of the outputs, and fails if one is
above 1e-4. The largest models need about 8 GB of memory and 2.5 GB of disk.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import flambeau
import torch_models
from flambeau import nn
from flambeau.vision import models

TOLERANCE = 1e-4
OPTIONS: dict[str, dict[str, Any]] = {"googlenet": {"aux_logits": False, "init_weights": False}}
DRAWING = "kaiming_uniform_ kaiming_normal_ xavier_uniform_ uniform_ normal_ trunc_normal_".split()


def without_drawing(build: Callable[[], Any]) -> Any:
    """Build a model whose parameters are not drawn, because a file replaces them."""
    before = {name: getattr(nn.init, name) for name in DRAWING}
    try:
        for name in DRAWING:
            setattr(nn.init, name, lambda tensor, *args, **kwargs: tensor)
        return build()
    finally:
        for name, function in before.items():
            setattr(nn.init, name, function)


def check(name: str, size: int, device: str) -> bool:
    """One model: save, load, compare; prints a line."""
    options = {"image_size": size // 14 * 14 if name == "vit_h_14" else size} if name.startswith("vit") else {}
    size = options.get("image_size", size)
    theirs = torch_models.born(name, **options)
    x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = theirs(x)
    layout = [(key, tuple(value.shape)) for key, value in theirs.state_dict().items()]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.pth"
        torch.save(theirs.state_dict(), path)
        del theirs
        started = time.perf_counter()
        arguments = {**options, **OPTIONS.get(name, {})}
        ours = without_drawing(lambda: models.get_model(name, weights=path, **arguments)).to(device).eval()
        loading = time.perf_counter() - started
    own = [(key, tuple(value.shape)) for key, value in ours.state_dict().items()]
    wrong = sum(a != b for a, b in zip(layout, own, strict=True))
    started = time.perf_counter()
    with flambeau.no_grad():
        found = torch.from_numpy(ours(flambeau.from_numpy(x.numpy()).to(device)).cpu().numpy())
    running = time.perf_counter() - started
    difference, largest = (found - expected).abs().max().item(), expected.abs().max().item()
    good = wrong == 0 and difference <= TOLERANCE
    print(f"{name:20s} {sum(p.numel() for p in ours.parameters()):>11,d} parameters  {wrong} names differ  "
          f"largest output {largest:8.3g}  difference {difference:.1e}  loaded in {loading:.1f} s, "
          f"ran in {running:.1f} s  {'good' if good else 'WRONG'}", flush=True)  # fmt: skip
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="names; all of them by default")
    parser.add_argument("--size", type=int, default=224, help="both sides of the picture, in pixels")
    parser.add_argument("--device", default="cpu", help="where ours runs")
    arguments = parser.parse_args()
    names = arguments.models or models.list_models()
    bad = [name for name in names if not check(name, arguments.size, arguments.device)]
    print(f"{len(names) - len(bad)} of {len(names)} models agree" + (f"; wrong: {', '.join(bad)}" if bad else ""))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
