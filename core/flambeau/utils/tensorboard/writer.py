"""The writer: a folder of event files, and a method for each thing that TensorBoard shows."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from flambeau.errors import ArgumentTypeError
from flambeau.utils.tensorboard import projector, summary

_MISSING = ("SummaryWriter writes through the tensorboard package, which is not installed; "
            "pip install 'flambeau[tensorboard]'")


class FileWriter:
    """One event file.

    Args:
        log_dir: the folder; it is made.
        max_queue: events that wait to be written.
        flush_secs: seconds after which they are.
        filename_suffix: put behind the file's name.

    ModuleNotFoundError without the tensorboard package.
    """

    def __init__(self, log_dir: Any, max_queue: int = 10, flush_secs: int = 120, filename_suffix: str = "") -> None:
        try:
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError as error:
            raise ModuleNotFoundError(_MISSING) from error
        self._folder = str(log_dir)
        self.event_writer = EventFileWriter(self._folder, max_queue, flush_secs, filename_suffix)

    def get_logdir(self) -> str:
        """The folder."""
        return self._folder

    def add_event(self, event: Any, step: int | None = None, walltime: float | None = None) -> None:
        """Queue an event, at a step of the program and a time."""
        event.wall_time = time.time() if walltime is None else walltime
        if step is not None:
            event.step = int(step)
        self.event_writer.add_event(event)

    def add_summary(self, message: Any, global_step: int | None = None, walltime: float | None = None) -> None:
        """Queue a summary."""
        from tensorboard.compat.proto.event_pb2 import Event
        self.add_event(Event(summary=message), global_step, walltime)

    def flush(self) -> None:
        """Write what waits."""
        self.event_writer.flush()

    def close(self) -> None:
        """Write what waits, and close the file."""
        self.event_writer.close()

    def reopen(self) -> None:
        """Begin another file, once the first is closed."""
        self.event_writer = type(self)(self._folder).event_writer


class SummaryWriter:
    """Writes what a program measures, for TensorBoard to show while it runs.

    Args:
        log_dir: the folder; runs/ with date and host if not given.
        comment: put behind that name.
        purge_step: what an earlier, broken run wrote from this step on is hidden.
        max_queue, flush_secs, filename_suffix: see `FileWriter`.

    ModuleNotFoundError without the tensorboard package.

        writer = SummaryWriter("runs/first")
        for step in range(100):
            writer.add_scalar("loss", loss, step)
        writer.close()          # then, in a shell: tensorboard --logdir runs
    """

    def __init__(self, log_dir: Any = None, comment: str = "", purge_step: int | None = None, max_queue: int = 10,
                 flush_secs: int = 120, filename_suffix: str = "") -> None:
        if not log_dir:
            log_dir = Path("runs") / f"{time.strftime('%b%d_%H-%M-%S')}_{socket.gethostname()}{comment}"
        self.log_dir, self.purge_step = str(log_dir), purge_step
        self._options = max_queue, flush_secs, filename_suffix
        self.file_writer: FileWriter | None = None
        self.all_writers: dict[str, FileWriter] | None = None
        self._get_file_writer()

    def _get_file_writer(self) -> FileWriter:
        if self.file_writer is None:
            self.file_writer = FileWriter(self.log_dir, *self._options)
            self.all_writers = {self.file_writer.get_logdir(): self.file_writer}
            if self.purge_step is not None:
                from tensorboard.compat.proto.event_pb2 import Event, SessionLog
                self.file_writer.add_event(Event(file_version="brain.Event:2"), self.purge_step)
                self.file_writer.add_event(Event(session_log=SessionLog(status=SessionLog.START)), self.purge_step)
                self.purge_step = None
        return self.file_writer

    def _add(self, message: Any, step: int | None, walltime: float | None) -> None:
        self._get_file_writer().add_summary(message, step, walltime)

    def get_logdir(self) -> str:
        """The folder of the event files."""
        return self.log_dir

    # ------------------------------------------------------------------------------------------ numbers
    def add_scalar(self, tag: str, scalar_value: Any, global_step: int | None = None, walltime: float | None = None,
                   new_style: bool = False, double_precision: bool = False) -> None:
        """A number at a step: a Python number or a tensor with one element."""
        self._add(summary.scalar(tag, summary.as_number(scalar_value), new_style), global_step, walltime)

    def add_scalars(self, main_tag: str, tag_scalar_dict: Mapping[str, Any], global_step: int | None = None,
                    walltime: float | None = None) -> None:
        """Several numbers in one chart; each is a run of its own, in a folder below."""
        self._get_file_writer()
        assert self.all_writers is not None
        for tag, value in tag_scalar_dict.items():
            folder = os.path.join(self.log_dir, f"{main_tag.replace('/', '_')}_{tag}")
            if folder not in self.all_writers:
                self.all_writers[folder] = FileWriter(folder, *self._options)
            message = summary.scalar(main_tag, summary.as_number(value))
            self.all_writers[folder].add_summary(message, global_step, walltime)

    def add_tensor(self, tag: str, tensor: Any, global_step: int | None = None, walltime: float | None = None) -> None:
        """Numbers as they are."""
        self._add(summary.tensor(tag, tensor), global_step, walltime)

    def add_histogram(self, tag: str, values: Any, global_step: int | None = None, bins: Any = "tensorflow",
                      walltime: float | None = None, max_bins: int | None = None) -> None:
        """How values are distributed; for `bins` and `max_bins` see `summary.histogram`."""
        self._add(summary.histogram(tag, values, bins, max_bins), global_step, walltime)

    def add_histogram_raw(self, tag: str, min: Any, max: Any, num: Any, sum: Any, sum_squares: Any,
                          bucket_limits: Sequence[Any], bucket_counts: Sequence[Any], global_step: int | None = None,
                          walltime: float | None = None) -> None:
        """A histogram that is already counted: the right edges of the bins, and what is in them."""
        message = summary.histogram_raw(tag, min, max, num, sum, sum_squares, bucket_limits, bucket_counts)
        self._add(message, global_step, walltime)

    def add_pr_curve(self, tag: str, labels: Any, predictions: Any, global_step: int | None = None,
                     num_thresholds: int = 127, weights: Any = None, walltime: float | None = None) -> None:
        """Precision against recall, from labels 0 and 1 and predictions between them."""
        self._add(summary.pr_curve(tag, labels, predictions, num_thresholds, weights), global_step, walltime)

    def add_pr_curve_raw(self, tag: str, true_positive_counts: Any, false_positive_counts: Any,
                         true_negative_counts: Any, false_negative_counts: Any, precision: Any, recall: Any,
                         global_step: int | None = None, num_thresholds: int = 127, weights: Any = None,
                         walltime: float | None = None) -> None:
        """Precision against recall, already counted."""
        rows = [true_positive_counts, false_positive_counts, true_negative_counts, false_negative_counts, precision,
                recall]
        self._add(summary.pr_curve_raw(tag, rows, num_thresholds), global_step, walltime)

    def add_custom_scalars(self, layout: Mapping[str, Mapping[str, Sequence[Any]]]) -> None:
        """How scalars are laid out: {category: {chart: ["Multiline", [tags]] or ["Margin", [tag, low, high]]}}."""
        self._add(summary.custom_scalars(layout), None, None)

    def add_custom_scalars_multilinechart(self, tags: Sequence[str], category: str = "default",
                                          title: str = "untitled") -> None:
        """One chart with several scalars."""
        self.add_custom_scalars({category: {title: ["Multiline", tags]}})

    def add_custom_scalars_marginchart(self, tags: Sequence[str], category: str = "default",
                                       title: str = "untitled") -> None:
        """One chart with a scalar between two others."""
        if len(tags) != 3:
            raise ArgumentTypeError(f"add_custom_scalars_marginchart: expected three tags; given: {list(tags)}")
        self.add_custom_scalars({category: {title: ["Margin", tags]}})

    # ------------------------------------------------------------------------------------------ to look at
    def add_image(self, tag: str, img_tensor: Any, global_step: int | None = None, walltime: float | None = None,
                  dataformats: str = "CHW") -> None:
        """A picture: numbers 0..1, or bytes. Needs Pillow."""
        self._add(summary.image(tag, img_tensor, dataformats), global_step, walltime)

    def add_images(self, tag: str, img_tensor: Any, global_step: int | None = None, walltime: float | None = None,
                   dataformats: str = "NCHW") -> None:
        """Several pictures, side by side."""
        self._add(summary.image(tag, img_tensor, dataformats), global_step, walltime)

    def add_image_with_boxes(self, tag: str, img_tensor: Any, box_tensor: Any, global_step: int | None = None,
                             walltime: float | None = None, rescale: float = 1, dataformats: str = "CHW",
                             labels: Any = None) -> None:
        """A picture with rectangles, (left, top, right, bottom) each, and their labels."""
        names = [labels] * len(box_tensor) if isinstance(labels, str) else labels
        message = summary.image_boxes(tag, img_tensor, box_tensor, rescale, dataformats, names)
        self._add(message, global_step, walltime)

    def add_figure(self, tag: str, figure: Any, global_step: int | None = None, close: bool = True,
                   walltime: float | None = None) -> None:
        """A matplotlib figure, or several, as a picture."""
        figures = figure if isinstance(figure, list) else [figure]
        self.add_images(tag, [_drawn(each) for each in figures], global_step, walltime, "NHWC")
        if close:
            from matplotlib import pyplot
            for each in figures:
                pyplot.close(each)

    def add_video(self, tag: str, vid_tensor: Any, global_step: int | None = None, fps: float = 4,
                  walltime: float | None = None) -> None:
        """A moving picture, (N, T, C, H, W)."""
        self._add(summary.video(tag, vid_tensor, fps), global_step, walltime)

    def add_mesh(self, tag: str, vertices: Any, colors: Any = None, faces: Any = None,
                 config_dict: Mapping[str, Any] | None = None, global_step: int | None = None,
                 walltime: float | None = None) -> None:
        """Points or surfaces in space."""
        self._add(summary.mesh(tag, vertices, colors, faces, config_dict), global_step, walltime)

    def add_audio(self, tag: str, snd_tensor: Any, global_step: int | None = None, sample_rate: int = 44100,
                  walltime: float | None = None) -> None:
        """A sound between -1 and 1."""
        self._add(summary.audio(tag, snd_tensor, sample_rate), global_step, walltime)

    def add_text(self, tag: str, text_string: str, global_step: int | None = None,
                 walltime: float | None = None) -> None:
        """A text in Markdown."""
        self._add(summary.text(tag, text_string), global_step, walltime)

    def add_embedding(self, mat: Any, metadata: Sequence[Any] | None = None, label_img: Any = None,
                      global_step: int | None = None, tag: str = "default",
                      metadata_header: Sequence[str] | None = None) -> None:
        """Points in many dimensions, (N, D), with a label and a picture, (N, C, H, W), for each."""
        projector.write(Path(self.log_dir), mat, metadata, label_img, global_step, tag, metadata_header)

    def add_graph(self, model: Any, input_to_model: Any = None, verbose: bool = False,
                  use_strict_trace: bool = True) -> None:
        """What a model computes for this input: its operators, within its modules.

        The model is called once. What is drawn is what ran, so a branch that this input does not take is not there.
        """
        from tensorboard.compat.proto.event_pb2 import Event

        from flambeau.utils.tensorboard import graph
        event = Event(graph_def=graph.draw(model, input_to_model).SerializeToString())
        self._get_file_writer().add_event(event)

    def add_hparams(self, hparam_dict: Mapping[str, Any], metric_dict: Mapping[str, Any],
                    hparam_domain_discrete: Mapping[str, Sequence[Any]] | None = None, run_name: str | None = None,
                    global_step: int | None = None) -> None:
        """What a run was made with, and how good it was; as a run of its own, in a folder below."""
        messages = summary.hparams(hparam_dict, metric_dict, hparam_domain_discrete)
        folder = os.path.join(self.log_dir, run_name or str(time.time()))
        with SummaryWriter(log_dir=folder) as writer:
            for message in messages:
                writer._add(message, global_step, None)
            for name, value in metric_dict.items():
                writer.add_scalar(name, value, global_step)

    # ------------------------------------------------------------------------------------------ the files
    def flush(self) -> None:
        """Write what waits."""
        for writer in (self.all_writers or {}).values():
            writer.flush()

    def close(self) -> None:
        """Write what waits, and close the files. What is added later goes to new ones."""
        for writer in (self.all_writers or {}).values():
            writer.close()
        self.file_writer, self.all_writers = None, None

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def _drawn(figure: Any) -> Any:
    """A figure's pixels, (height, width, 3) bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    import flambeau

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return flambeau.frombuffer(bytearray(canvas.buffer_rgba()), dtype=flambeau.uint8).reshape(
        *reversed(canvas.get_width_height()), 4)[:, :, :3]
