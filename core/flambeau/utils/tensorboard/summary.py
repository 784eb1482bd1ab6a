"""What TensorBoard shows, as its messages: scalars, histograms, pictures, sounds, texts, curves and meshes.

Each function returns a `Summary`, which a writer puts into an event file. They take tensors, NumPy's arrays or
numbers.
"""

from __future__ import annotations

import io
import json
import math
import wave
from collections.abc import Mapping, Sequence
from typing import Any

import flambeau
from flambeau.errors import ArgumentTypeError, ArgumentValueError
from flambeau.tensor import Tensor

_BIG = 127  # of thresholds, as TensorBoard's own curves have
_TINY = 1e-7
_FIRST_EDGE, _LAST_EDGE, _GROWTH = 1e-12, 1e20, 1.1  # of the bins that TensorFlow has always used


def as_tensor(values: Any) -> Tensor:
    """Numbers on the host."""
    if isinstance(values, Tensor):
        return values.detach().to("cpu")
    if isinstance(values, (list, tuple)) and values and all(isinstance(each, Tensor) for each in values):
        return flambeau.stack([as_tensor(each) for each in values])
    return flambeau.as_tensor(values)


def as_number(value: Any) -> float:
    """One number; TypeError or ValueError for what is none."""
    if isinstance(value, (int, float)):
        return float(value)
    tensor = as_tensor(value)
    if tensor.numel() != 1:
        raise ArgumentValueError(f"add_scalar: expected one number; given: a tensor of shape {list(tensor.shape)}; "
                                 "reduce it first, as with mean()")
    return float(tensor.item())


def _messages() -> Any:
    from tensorboard.compat.proto import summary_pb2
    return summary_pb2


def _value(tag: str, plugin: str | None = None, content: bytes = b"", **fields: Any) -> Any:
    """A summary of one value."""
    pb = _messages()
    metadata = None
    if plugin is not None:
        metadata = pb.SummaryMetadata(plugin_data=pb.SummaryMetadata.PluginData(plugin_name=plugin, content=content))
    return pb.Summary(value=[pb.Summary.Value(tag=tag, metadata=metadata, **fields)])


def _tensor_message(values: Tensor) -> Any:
    from tensorboard.compat.proto import tensor_pb2, tensor_shape_pb2, types_pb2
    shape = tensor_shape_pb2.TensorShapeProto(
        dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=size) for size in values.shape])
    return tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, tensor_shape=shape,
                                  float_val=values.to(flambeau.float32).reshape(-1).tolist())


def scalar(tag: str, value: float, new_style: bool = False) -> Any:
    """One number; in the new style it is a tensor."""
    if not new_style:
        return _value(tag, simple_value=value)
    from tensorboard.plugins.scalar import metadata
    content = metadata.create_summary_metadata("", "").plugin_data.content
    return _value(tag, "scalars", content, tensor=_tensor_message(flambeau.tensor(value)))


def tensor(tag: str, values: Any) -> Any:
    """Numbers as they are."""
    return _value(tag, "tensor", tensor=_tensor_message(as_tensor(values)))


# --------------------------------------------------------------------------------------------------- histograms


def _edges() -> list[float]:
    positive = [_FIRST_EDGE]
    while positive[-1] * _GROWTH < _LAST_EDGE:
        positive.append(positive[-1] * _GROWTH)
    return [*(-edge for edge in reversed(positive)), 0.0, *positive]


def histogram(tag: str, values: Any, bins: Any, max_bins: int | None = None) -> Any:
    """How often values fall between edges.

    Args:
        tag: its name.
        values: any shape, at least one value.
        bins: "tensorflow" for edges that grow by a tenth, "auto" for equal ones in a number that suits, a number of
            equal bins, or the edges.
        max_bins: neighbouring bins are joined until there are no more than so many.
    """
    numbers = as_tensor(values).reshape(-1).to(flambeau.float64)
    if numbers.numel() == 0:
        raise ArgumentValueError("add_histogram: The input has no element.")
    low, high = float(numbers.min()), float(numbers.max())
    edges = _chosen_edges(bins, numbers, low, high)
    places = flambeau.bucketize(numbers, flambeau.tensor(edges, dtype=flambeau.float64), right=True)
    counts = flambeau.bincount(places, minlength=len(edges) + 1).tolist()
    counts[-2] += int((numbers == edges[-1]).sum())  # the last bin has both of its edges
    inner = counts[1:-1]
    if max_bins is not None and len(inner) > max_bins:
        step = -(-len(inner) // max_bins)
        inner = [sum(inner[at : at + step]) for at in range(0, len(inner), step)]
        edges = [*edges[:-1:step], edges[-1]]
    first = next((at for at, count in enumerate(inner) if count), 0)
    last = next((at for at in reversed(range(len(inner))) if inner[at]), len(inner) - 1)
    # TensorBoard draws from the edge before the first bin with anything in it: an empty one begins there.
    limits, kept = [edges[first], *edges[first + 1 : last + 2]], [0, *inner[first : last + 1]]
    return histogram_raw(tag, low, high, numbers.numel(), float(numbers.sum()), float((numbers * numbers).sum()),
                         limits, kept)


def _chosen_edges(bins: Any, numbers: Tensor, low: float, high: float) -> list[float]:
    if bins == "tensorflow":
        return _edges()
    if isinstance(bins, str):
        # Sturges's rule, or Freedman's and Diaconis's where that makes more bins.
        count = math.ceil(math.log2(numbers.numel())) + 1
        spread = float(numbers.quantile(0.75) - numbers.quantile(0.25))
        if spread > 0:
            count = max(count, min(1000, math.ceil((high - low) / (2 * spread * numbers.numel() ** (-1 / 3)))))
        bins = count
    if isinstance(bins, int):
        if low == high:
            low, high = low - 0.5, high + 0.5
        return [low + (high - low) * at / bins for at in range(bins + 1)]
    return [float(edge) for edge in bins]


def histogram_raw(tag: str, low: float, high: float, count: int, total: float, squares: float,
                  limits: Sequence[float], counts: Sequence[float]) -> Any:
    """A histogram that is already counted."""
    if len(limits) != len(counts):
        raise ArgumentValueError(f"add_histogram_raw: {len(limits)} limits and {len(counts)} counts; there must be as "
                                 "many of both")
    from tensorboard.compat.proto.histogram_pb2 import HistogramProto
    histo = HistogramProto(min=low, max=high, num=count, sum=total, sum_squares=squares, bucket_limit=list(limits),
                           bucket=list(counts))
    return _value(tag, histo=histo)


# ------------------------------------------------------------------------------------------- pictures and sounds


def to_pixels(values: Any, formats: str) -> Tensor:
    """uint8 (height, width, 1, 3 or 4) from a picture, or from several put side by side, with values 0..1 or bytes."""
    picture = as_tensor(values)
    if len(formats) != picture.ndim or len(set(formats)) != len(formats) or not set(formats) <= set("NCHW"):
        raise ArgumentValueError(f"add_image: dataformats {formats!r} must name each dimension once, by N, C, H or W; "
                                 f"given: a tensor of shape {list(picture.shape)}")
    if picture.dtype.is_floating_point:
        picture = (picture.to(flambeau.float32) * 255).clamp(0, 255).to(flambeau.uint8)
    if "C" not in formats:
        picture, formats = picture.unsqueeze(0), "C" + formats
    if "N" not in formats:
        picture, formats = picture.unsqueeze(0), "N" + formats
    picture = picture.permute(*(formats.index(letter) for letter in "NHWC"))
    number, height, width, channels = picture.shape
    if channels not in (1, 3, 4):
        raise ArgumentValueError(f"add_image: a picture has 1, 3 or 4 channels; given: {channels}")
    columns = min(number, 8)
    rows = -(-number // columns)
    grid = picture.new_zeros((rows * columns, height, width, channels))
    grid[:number] = picture
    grid = grid.reshape(rows, columns, height, width, channels).permute(0, 2, 1, 3, 4)
    return grid.reshape(rows * height, columns * width, channels)


def pillow(pixels: Tensor) -> Any:
    """A Pillow picture of uint8 (height, width, channels)."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ModuleNotFoundError("pictures are encoded by Pillow, which is not installed; "
                                  "pip install 'flambeau[vision]'") from error
    squeezed = pixels.squeeze(2) if pixels.shape[2] == 1 else pixels
    return Image.fromarray(squeezed.contiguous().numpy())


def image(tag: str, values: Any, formats: str = "CHW", rescale: float = 1) -> Any:
    """A picture."""
    return image_of(tag, pillow(to_pixels(values, formats)), rescale)


def image_of(tag: str, picture: Any, rescale: float = 1) -> Any:
    """A Pillow picture."""
    if rescale != 1:
        picture = picture.resize((int(picture.width * rescale), int(picture.height * rescale)))
    data = io.BytesIO()
    picture.save(data, format="PNG")
    pb = _messages()
    message = pb.Summary.Image(height=picture.height, width=picture.width, colorspace=len(picture.getbands()),
                               encoded_image_string=data.getvalue())
    return _value(tag, image=message)


def image_boxes(tag: str, values: Any, boxes: Any, rescale: float, formats: str, labels: Sequence[str] | None) -> Any:
    """A picture with rectangles, (left, top, right, bottom) each."""
    from PIL import ImageDraw

    picture = pillow(to_pixels(values, formats)).convert("RGB")
    draw = ImageDraw.Draw(picture)
    for number, box in enumerate(as_tensor(boxes).reshape(-1, 4).tolist()):
        draw.rectangle(box, outline="red", width=2)
        if labels is not None:
            draw.text((box[0] + 3, box[1] + 1), labels[number], fill="red")
    return image_of(tag, picture, rescale)


def video(tag: str, values: Any, fps: float = 4) -> Any:
    """A moving picture, (N, T, C, H, W), as an animated GIF; several are put side by side."""
    frames = as_tensor(values)
    if frames.ndim != 5:
        raise ArgumentValueError(f"add_video: expected (N, T, C, H, W); given: a tensor of shape {list(frames.shape)}")
    pictures = [pillow(to_pixels(frames[:, at], "NCHW")) for at in range(frames.shape[1])]
    data = io.BytesIO()
    pictures[0].save(data, format="GIF", save_all=True, append_images=pictures[1:], duration=1000 / fps, loop=0)
    pb = _messages()
    return _value(tag, image=pb.Summary.Image(height=pictures[0].height, width=pictures[0].width, colorspace=3,
                                              encoded_image_string=data.getvalue()))


def audio(tag: str, values: Any, rate: int = 44100) -> Any:
    """A sound, (1, samples) or (samples), between -1 and 1."""
    samples = as_tensor(values).squeeze()
    if samples.ndim != 1:
        raise ArgumentValueError(f"add_audio: input tensor should be 1 dimensional; given: {list(samples.shape)}")
    numbers = (samples.to(flambeau.float32).clamp(-1, 1) * 32767).to(flambeau.int16)
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(numbers.numpy().astype("<i2").tobytes())
    pb = _messages()
    return _value(tag, audio=pb.Summary.Audio(sample_rate=rate, num_channels=1, length_frames=len(samples),
                                              encoded_audio_string=data.getvalue(), content_type="audio/wav"))


# ---------------------------------------------------------------------------------------- what plugins show


def text(tag: str, content: str) -> Any:
    """A text in Markdown."""
    from tensorboard.compat.proto import tensor_pb2, tensor_shape_pb2, types_pb2
    from tensorboard.plugins.text.metadata import PLUGIN_NAME, create_summary_metadata
    made = create_summary_metadata("", "").plugin_data.content
    shape = tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=1)])
    message = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=[content.encode()], tensor_shape=shape)
    return _value(f"{tag}/text_summary", PLUGIN_NAME, made, tensor=message)


def pr_curve(tag: str, labels: Any, predictions: Any, thresholds: int = _BIG, weights: Any = None) -> Any:
    """Precision and recall of predictions between 0 and 1 at thresholds between 0 and 1."""
    thresholds = min(_BIG, thresholds)
    truth = as_tensor(labels).reshape(-1).to(flambeau.float64)
    scores = as_tensor(predictions).reshape(-1)  # as precise as given: a score on a threshold must stay there
    factor = flambeau.ones_like(truth) if weights is None else as_tensor(weights).reshape(-1).to(flambeau.float64)
    bucket = (scores * (thresholds - 1)).floor().to(flambeau.int64).clamp(0, thresholds - 1)
    true = flambeau.bincount(bucket, weights=truth * factor, minlength=thresholds)
    false = flambeau.bincount(bucket, weights=(1 - truth) * factor, minlength=thresholds)
    true_positives, false_positives = (each.flip(0).cumsum(0).flip(0) for each in (true, false))
    true_negatives, false_negatives = false_positives[0] - false_positives, true_positives[0] - true_positives
    precision = true_positives / (true_positives + false_positives).clamp_min(_TINY)
    recall = true_positives / (true_positives + false_negatives).clamp_min(_TINY)
    return pr_curve_raw(tag, [true_positives, false_positives, true_negatives, false_negatives, precision, recall],
                        thresholds)


def pr_curve_raw(tag: str, rows: Sequence[Any], thresholds: int = _BIG) -> Any:
    """A curve that is already computed: true and false positives, true and false negatives, precision, recall."""
    from tensorboard.plugins.pr_curve.metadata import PLUGIN_NAME
    from tensorboard.plugins.pr_curve.plugin_data_pb2 import PrCurvePluginData
    content = PrCurvePluginData(version=0, num_thresholds=min(_BIG, thresholds)).SerializeToString()
    table = flambeau.stack([as_tensor(row).to(flambeau.float32) for row in rows])
    return _value(tag, PLUGIN_NAME, content, tensor=_tensor_message(table))


def custom_scalars(layout: Mapping[str, Mapping[str, Sequence[Any]]]) -> Any:
    """How the scalars' own page is laid out: category -> chart -> ["Multiline" or "Margin", tags]."""
    from tensorboard.compat.proto import tensor_pb2, tensor_shape_pb2, types_pb2
    from tensorboard.plugins.custom_scalar import layout_pb2 as pb

    def chart(title: str, kind: str, tags: Sequence[str]) -> Any:
        if kind == "Margin":
            series = pb.MarginChartContent.Series(value=tags[0], lower=tags[1], upper=tags[2])
            return pb.Chart(title=title, margin=pb.MarginChartContent(series=[series]))
        return pb.Chart(title=title, multiline=pb.MultilineChartContent(tag=list(tags)))
    made = pb.Layout(category=[
        pb.Category(title=category, chart=[chart(title, *description) for title, description in charts.items()])
        for category, charts in layout.items()])
    message = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=[made.SerializeToString()],
                                     tensor_shape=tensor_shape_pb2.TensorShapeProto())
    return _value("custom_scalars__config__", "custom_scalars", tensor=message)


def mesh(tag: str, vertices: Any, colors: Any, faces: Any, config: Mapping[str, Any] | None) -> Any:
    """Points, (N, points, 3), with colours 0..255 of the same shape and triangles of points, (N, triangles, 3)."""
    from tensorboard.plugins.mesh import metadata
    from tensorboard.plugins.mesh.plugin_data_pb2 import MeshPluginData

    kinds = MeshPluginData.ContentType
    parts = [(vertices, kinds.Value("VERTEX")), (faces, kinds.Value("FACE")), (colors, kinds.Value("COLOR"))]
    present = [(as_tensor(each), kind) for each, kind in parts if each is not None]
    components = metadata.get_components_bitmask([kind for _, kind in present])
    pb = _messages()
    values = []
    for each, kind in present:
        made = metadata.create_summary_metadata(tag, "", kind, components, list(each.shape), "",
                                                json_config=json.dumps(config or {}))
        values.append(pb.Summary.Value(tag=metadata.get_instance_name(tag, kind), metadata=made,
                                       tensor=_tensor_message(each)))
    return pb.Summary(value=values)


def hparams(settings: Mapping[str, Any], metrics: Mapping[str, Any],
            domains: Mapping[str, Sequence[Any]] | None) -> tuple[Any, Any, Any]:
    """(what there is to vary and to measure, that a run begins with these settings, that it ended)."""
    from google.protobuf.struct_pb2 import ListValue, Value
    from tensorboard.plugins.hparams import api_pb2 as api, metadata, plugin_data_pb2 as pb

    def entry(name: str, value: Any) -> tuple[Any, Any]:
        if isinstance(value, bool):
            return Value(bool_value=value), api.DataType.Value("DATA_TYPE_BOOL")
        if isinstance(value, str):
            return Value(string_value=value), api.DataType.Value("DATA_TYPE_STRING")
        if isinstance(value, (int, float, Tensor)):
            return Value(number_value=as_number(value)), api.DataType.Value("DATA_TYPE_FLOAT64")
        raise ArgumentTypeError(f"add_hparams: value should be one of int, float, str, bool, or a tensor; given: "
                                f"{name}={value!r}")
    infos = []
    for name, value in settings.items():
        domain = (domains or {}).get(name)
        discrete = None if domain is None else ListValue(values=[entry(name, each)[0] for each in domain])
        infos.append(api.HParamInfo(name=name, type=entry(name, value)[1], domain_discrete=discrete))
    columns = [api.MetricInfo(name=api.MetricName(tag=name)) for name in metrics]
    start = pb.SessionStartInfo()
    for name, value in settings.items():
        start.hparams[name].CopyFrom(entry(name, value)[0])
    end = pb.SessionEndInfo(status=api.Status.Value("STATUS_SUCCESS"))
    contents = (
        (metadata.EXPERIMENT_TAG, pb.HParamsPluginData(experiment=api.Experiment(hparam_infos=infos,
                                                                                 metric_infos=columns), version=0)),
        (metadata.SESSION_START_INFO_TAG, pb.HParamsPluginData(session_start_info=start, version=0)),
        (metadata.SESSION_END_INFO_TAG, pb.HParamsPluginData(session_end_info=end, version=0)))
    made = [_value(tag, metadata.PLUGIN_NAME, content.SerializeToString(), tensor=metadata.NULL_TENSOR)
            for tag, content in contents]
    return made[0], made[1], made[2]
