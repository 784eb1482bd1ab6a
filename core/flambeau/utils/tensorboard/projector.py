"""TensorBoard's projector: points in many dimensions, as files beside the event files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flambeau
from flambeau.errors import ArgumentValueError
from flambeau.utils.tensorboard import summary

_CONFIG = "projector_config.pbtxt"


def write(folder: Path, points: Any, metadata: Sequence[Any] | None, pictures: Any, step: int | None, tag: str,
          header: Sequence[str] | None) -> None:
    """Write the points as a table, their labels and pictures beside it, and where these are into the configuration."""
    from google.protobuf import text_format
    from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

    table = summary.as_tensor(points)
    if table.ndim != 2:
        raise ArgumentValueError(f"add_embedding: mat should be 2D, (points, dimensions); given: {list(table.shape)}")
    for name, each in (("metadata", metadata), ("label_img", pictures)):
        if each is not None and len(each) != len(table):
            raise ArgumentValueError(f"add_embedding: {len(table)} points and {len(each)} entries of {name}; each "
                                     "point needs one")
    place = Path(f"{0 if step is None else step:05}") / tag
    (folder / place).mkdir(parents=True, exist_ok=True)
    config = ProjectorConfig()
    if (folder / _CONFIG).is_file():
        text_format.Parse((folder / _CONFIG).read_text(encoding="utf-8"), config)
    entry = config.embeddings.add(tensor_name=f"{tag}:{place.parent}", tensor_path=str(place / "tensors.tsv"))
    _write_lines(folder / entry.tensor_path, ("\t".join(map(str, row)) for row in table.tolist()))
    if metadata is not None:
        entry.metadata_path = str(place / "metadata.tsv")
        _write_lines(folder / entry.metadata_path, _metadata_lines(metadata, header))
    if pictures is not None:
        images = summary.as_tensor(pictures)
        entry.sprite.image_path = str(place / "sprite.png")
        entry.sprite.single_image_dim.extend([images.shape[3], images.shape[2]])
        _sprite(images).save(folder / entry.sprite.image_path)
    (folder / _CONFIG).write_text(text_format.MessageToString(config), encoding="utf-8")


def _metadata_lines(metadata: Sequence[Any], header: Sequence[str] | None) -> list[str]:
    if header is None:
        return [str(each) for each in metadata]
    return ["\t".join(header), *("\t".join(map(str, row)) for row in metadata)]


def _write_lines(path: Path, lines: Any) -> None:
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def _sprite(images: Any) -> Any:
    """All pictures in one square."""
    side = 1
    while side * side < len(images):
        side += 1
    padded = images.new_zeros((side * side, *images.shape[1:]))
    padded[: len(images)] = images
    height, width = images.shape[2:]
    square = padded.reshape(side, side, -1, height, width).permute(2, 0, 3, 1, 4)
    square = square.reshape(-1, side * height, side * width)
    return summary.pillow(summary.to_pixels(square if square.dtype.is_floating_point else square.to(flambeau.uint8),
                                            "CHW"))
