"""Fetching under its private name; `flambeau.utils.data.fetch` is the module itself."""

from flambeau.utils.data.fetch import MapFetch as _MapDatasetFetcher, StreamFetch as _IterableDatasetFetcher

__all__ = ["_IterableDatasetFetcher", "_MapDatasetFetcher"]
