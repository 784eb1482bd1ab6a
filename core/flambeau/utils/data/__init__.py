"""Loading data: datasets, the samplers that order them and the loader that makes batches of them.

The names, the order of the samples and the draws from the random stream are PyTorch's, so a program that is ported
sees the same batches in the same order. Four parts, each usable alone: `dataset` says what one sample is, `sampler`
in which order samples come, `collate` how samples become a batch, and `dataloader` puts the three together, in this
process or with worker processes (`workers`, imported only when a loader asks for them).
"""

from flambeau.utils.data.collate import default_collate, default_convert
from flambeau.utils.data.dataloader import DataLoader
from flambeau.utils.data.dataset import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)
from flambeau.utils.data.info import WorkerInfo, get_worker_info
from flambeau.utils.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

__all__ = [
    "DataLoader", "default_collate", "default_convert",
    "Dataset", "IterableDataset", "TensorDataset", "StackDataset", "ConcatDataset", "ChainDataset", "Subset",
    "random_split",
    "Sampler", "SequentialSampler", "RandomSampler", "SubsetRandomSampler", "WeightedRandomSampler", "BatchSampler",
    "WorkerInfo", "get_worker_info",
]  # fmt: skip
