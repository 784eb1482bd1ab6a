"""Event files for TensorBoard, written through the tensorboard package.

The package is an extra, `pip install 'flambeau[tensorboard]'`: it knows the files' format, and shows them. Reading of
tensors is all that happens here, so any device's tensors will do.

Source: https://docs.pytorch.org/docs/stable/tensorboard.html
"""

from flambeau.utils.tensorboard.writer import FileWriter, SummaryWriter

__all__ = ["FileWriter", "SummaryWriter"]
