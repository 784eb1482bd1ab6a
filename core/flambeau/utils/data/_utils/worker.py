"""What a worker knows of itself, under its private name; `flambeau.utils.data.info` is the module itself."""

from flambeau.utils.data.info import WorkerInfo, get_worker_info

__all__ = ["WorkerInfo", "get_worker_info"]
