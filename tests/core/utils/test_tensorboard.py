"""Event files: what is written is read back by TensorBoard's own reader, and is what PyTorch writes."""

from __future__ import annotations

import io
import sys
import wave
from pathlib import Path
from typing import Any

import pytest

import flambeau
from flambeau import nn
from flambeau.utils.tensorboard import SummaryWriter

pytest.importorskip("tensorboard", reason="writes the event files")


def events(folder: Path) -> list[Any]:
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event
    found = []
    for path in sorted(folder.rglob("events.out.tfevents*")):
        found += [Event.FromString(raw) for raw in RawEventFileLoader(str(path)).Load()]
    return [event for event in found if not event.HasField("file_version") and not event.HasField("source_metadata")]


def values(folder: Path) -> list[tuple[int, Any]]:
    return [(event.step, value) for event in events(folder) for value in event.summary.value]


def both(tmp_path: Path, write: Any) -> tuple[list[Any], list[Any]]:
    """What `write(writer, library)` leaves in the files, by Flambeau and by PyTorch."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    from torch.utils.tensorboard import SummaryWriter as Theirs
    for name, writer, library in (("mine", SummaryWriter, flambeau), ("theirs", Theirs, torch)):
        with writer(str(tmp_path / name)) as opened:
            write(opened, library)
    return values(tmp_path / "mine"), values(tmp_path / "theirs")


def test_scalars(tmp_path: Path) -> None:
    def write(writer: Any, library: Any) -> None:
        for step in range(3):
            writer.add_scalar("loss", library.tensor(0.5 * step), step)
        writer.add_scalar("new", 2, 7, new_style=True)
        writer.add_scalars("both", {"sin": 0.5, "cos": library.tensor([1.0])}, 4)
        writer.add_text("note", "some *text*", 2)
    mine, wanted = both(tmp_path, write)
    assert [(step, value.tag) for step, value in mine] == [(step, value.tag) for step, value in wanted]
    simple = [(value.tag, value.simple_value) for _, value in mine if value.HasField("simple_value")]
    assert simple == [(value.tag, value.simple_value) for _, value in wanted if value.HasField("simple_value")]
    assert len(simple) == 5
    assert {path.name for path in (tmp_path / "mine").iterdir() if path.is_dir()} == {"both_sin", "both_cos"}
    for (_, one), (_, other) in zip(mine, wanted, strict=True):
        assert one.metadata.plugin_data.plugin_name == other.metadata.plugin_data.plugin_name
        assert list(one.tensor.string_val) == list(other.tensor.string_val)


@pytest.mark.parametrize("bins", ["tensorflow", 7, [-1.0, 0.0, 0.5, 3.0]])
def test_histograms(bins: Any, tmp_path: Path) -> None:
    def write(writer: Any, library: Any) -> None:
        library.manual_seed(0)
        writer.add_histogram("weights", library.randn(500), 1, bins=bins)
    (_, mine), (_, wanted) = (each[0] for each in both(tmp_path, write))
    for name in ("min", "max", "num", "sum", "sum_squares"):
        assert getattr(mine.histo, name) == pytest.approx(getattr(wanted.histo, name), rel=1e-5)
    assert list(mine.histo.bucket) == list(wanted.histo.bucket)
    assert list(mine.histo.bucket_limit) == pytest.approx(list(wanted.histo.bucket_limit), rel=1e-6)


def test_histograms_of_other_kinds(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path) as writer:
        writer.add_histogram("auto", flambeau.arange(100), bins="auto")
        writer.add_histogram("few", flambeau.arange(100.0), bins=50, max_bins=10)
        writer.add_histogram("one", flambeau.ones(3), bins=4)
        writer.add_histogram_raw("raw", 0, 2, 3, 4, 6, [1, 2], [1, 2], 5)
        with pytest.raises(ValueError, match="no element"):
            writer.add_histogram("none", flambeau.ones(0))
        with pytest.raises(ValueError, match="as many of both"):
            writer.add_histogram_raw("raw", 0, 2, 3, 4, 6, [1, 2], [1])
    found = {value.tag: value.histo for _, value in values(tmp_path)}
    assert sum(found["auto"].bucket) == sum(found["few"].bucket) == 100
    assert len(found["few"].bucket) <= 11 and sum(found["one"].bucket) == 3
    assert list(found["raw"].bucket_limit) == [1, 2]


def pixels(message: Any) -> Any:
    from PIL import Image
    return flambeau.from_numpy(__import__("numpy").array(Image.open(io.BytesIO(message.encoded_image_string))))


def test_pictures(tmp_path: Path) -> None:
    pytest.importorskip("PIL", reason="encodes pictures")
    picture = flambeau.arange(48.0).reshape(3, 4, 4) / 48

    def write(writer: Any, library: Any) -> None:
        given = library.arange(48.0).reshape(3, 4, 4) / 48
        writer.add_image("chw", given, 1)
        writer.add_image("hw", given[0], dataformats="HW")
        writer.add_images("several", given.unsqueeze(1), 2)
        writer.add_image("bytes", (given * 255).to(library.uint8).permute(1, 2, 0), dataformats="HWC")
    mine, wanted = both(tmp_path, write)
    for (_, one), (_, other) in zip(mine, wanted, strict=True):
        assert one.tag == other.tag and (one.image.height, one.image.width) == (other.image.height, other.image.width)
        first, second = pixels(one.image), pixels(other.image)
        first = first.unsqueeze(2) if first.ndim == 2 else first
        assert (first.float() - second.float().reshape(*second.shape[:2], -1)).abs().max() <= 1
    with SummaryWriter(tmp_path / "more") as writer:
        writer.add_image_with_boxes("boxes", picture.repeat(1, 8, 8), flambeau.tensor([[1, 1, 9, 9]]), labels=["a"])
        writer.add_video("moving", flambeau.rand(1, 3, 3, 4, 4), fps=2)
        with pytest.raises(ValueError, match="must name each dimension once"):
            writer.add_image("wrong", picture, dataformats="HW")
        with pytest.raises(ValueError, match="1, 3 or 4 channels"):
            writer.add_image("wrong", flambeau.ones(2, 4, 4))
    found = {value.tag: value for _, value in values(tmp_path / "more")}
    assert found["moving"].image.encoded_image_string.startswith(b"GIF8")
    assert pixels(found["boxes"].image).shape == (32, 32, 3)


def test_figures(tmp_path: Path) -> None:
    figure = pytest.importorskip("matplotlib.figure", reason="draws the figure").Figure(figsize=(2, 1), dpi=50)
    figure.add_subplot().plot([1, 2])
    with SummaryWriter(tmp_path) as writer:
        writer.add_figure("drawn", figure, 3, close=False)
    (step, value), = values(tmp_path)
    assert step == 3 and (value.image.height, value.image.width) == (50, 100)


def test_sounds(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path) as writer:
        writer.add_audio("tone", flambeau.linspace(-2, 2, 50), sample_rate=8000)
    (_, value), = values(tmp_path)
    with wave.open(io.BytesIO(value.audio.encoded_audio_string)) as file:
        assert (file.getframerate(), file.getnframes()) == (8000, 50)


def test_curves_and_settings(tmp_path: Path) -> None:
    def write(writer: Any, library: Any) -> None:
        labels = library.tensor([0, 1, 1, 0, 1])
        writer.add_pr_curve("curve", labels, library.tensor([0.1, 0.9, 0.4, 0.6, 1.0]), 1, num_thresholds=11)
        writer.add_hparams({"lr": 0.1, "kind": "adam", "fast": True}, {"score": 0.75}, run_name="run")
        writer.add_custom_scalars({"page": {"chart": ["Multiline", ["a", "b"]], "band": ["Margin", ["m", "l", "h"]]}})
        writer.add_tensor("raw", library.tensor([[1.0, 2.0]]), 2)
    mine, wanted = both(tmp_path, write)
    assert sorted(value.tag for _, value in mine) == sorted(value.tag for _, value in wanted)
    named = {value.tag: value for _, value in wanted}
    for _, value in mine:
        other = named[value.tag]
        if value.tag.startswith("_hparams_"):
            assert value.metadata.plugin_data.plugin_name == other.metadata.plugin_data.plugin_name
            continue
        assert list(value.tensor.float_val) == pytest.approx(list(other.tensor.float_val))
        assert list(value.tensor.string_val) == list(other.tensor.string_val)
        assert value.metadata.plugin_data == other.metadata.plugin_data
    with SummaryWriter(tmp_path / "more") as writer:
        with pytest.raises(TypeError, match="should be one of int, float"):
            writer.add_hparams({"layers": [1]}, {})
        with pytest.raises(TypeError, match="three tags"):
            writer.add_custom_scalars_marginchart(["a"])
        writer.add_custom_scalars_multilinechart(["a"])
        writer.add_mesh("shape", flambeau.rand(1, 4, 3), faces=flambeau.tensor([[[0, 1, 2]]]))
    assert {value.tag for _, value in values(tmp_path / "more")} >= {"shape_VERTEX", "shape_FACE"}


def test_the_graph_of_a_model(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.ReLU(), nn.Linear(3, 2)))
    with SummaryWriter(tmp_path) as writer:
        writer.add_graph(net, flambeau.ones(1, 4))
    from tensorboard.compat.proto.graph_pb2 import GraphDef
    event, = events(tmp_path)
    nodes = {node.name: node for node in GraphDef.FromString(event.graph_def).node}
    relu = nodes["Sequential/1/0/relu"]
    assert relu.op == "aten::relu" and list(relu.input) == ["Sequential/0/linear"]
    assert set(nodes["Sequential/0/linear"].input) == {"input/0", "Sequential/0/weight", "Sequential/0/bias"}
    shape = relu.attr["_output_shapes"].list.shape[0]
    assert [dim.size for dim in shape.dim] == [1, 3]
    assert list(nodes["output/0"].input) == ["Sequential/1/1/linear"]


def test_points_in_many_dimensions(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path) as writer:
        writer.add_embedding(flambeau.arange(6.0).reshape(3, 2), ["a", "b", "c"], flambeau.rand(3, 1, 4, 4), 5)
        writer.add_embedding(flambeau.ones(2, 2), [("x", 1), ("y", 2)], tag="other", metadata_header=["k", "n"])
        with pytest.raises(ValueError, match="each point needs one"):
            writer.add_embedding(flambeau.ones(2, 2), ["a"])
    assert (tmp_path / "00005/default/tensors.tsv").read_text() == "0.0\t1.0\n2.0\t3.0\n4.0\t5.0\n"
    assert (tmp_path / "00000/other/metadata.tsv").read_text() == "k\tn\nx\t1\ny\t2\n"
    config = (tmp_path / "projector_config.pbtxt").read_text()
    assert config.count("embeddings {") == 2 and "sprite.png" in config


def test_files_are_closed_and_opened_again(tmp_path: Path) -> None:
    writer = SummaryWriter(tmp_path / "run", purge_step=3, filename_suffix=".mine")
    writer.add_scalar("x", 1, 1)
    writer.flush()
    writer.close()
    writer.close()
    writer.add_scalar("x", 2, 2)
    writer.close()
    assert writer.get_logdir() == str(tmp_path / "run")
    assert [value.simple_value for _, value in values(tmp_path)] == [1, 2]
    with pytest.raises(ValueError, match="expected one number"), SummaryWriter(tmp_path / "b") as writer:
        writer.add_scalar("x", flambeau.ones(2))


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.summary.writer.event_file_writer", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'flambeau\[tensorboard\]'"):
        SummaryWriter(tmp_path)
