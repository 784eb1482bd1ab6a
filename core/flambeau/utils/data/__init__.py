"""Loading data: datasets, the samplers that order them and the loader that makes batches of them.

The names, the order of the samples and the draws from the random stream are PyTorch's, so a program that is ported
sees the same batches in the same order. Four parts, each usable alone: `dataset` says what one sample is, `sampler`
in which order samples come, `collate` how samples become a batch, and `dataloader` puts the three together, in this
process or with worker processes (`workers`, imported only when a loader asks for them).

A loader can say where it is (`state_dict`) and be put there again (`load_state_dict`), in the middle of an epoch too:
`position` finds the place in the sampler's order, `fetch` that in a stream, `resuming` puts it together.

>>> import flambeau as torch
>>> from flambeau.utils.data import DataLoader, TensorDataset, random_split
>>> data = TensorDataset(torch.arange(12.).reshape(6, 2), torch.tensor([0, 1, 0, 1, 0, 1]))
>>> train, test = random_split(data, [4, 2], generator=torch.Generator().manual_seed(0))
>>> loader = DataLoader(train, batch_size=2, shuffle=True)
>>> [(x.shape, y.shape) for x, y in loader]
[(torch.Size([2, 2]), torch.Size([2])), (torch.Size([2, 2]), torch.Size([2]))]
"""

from flambeau.utils.data.collate import default_collate, default_convert
from flambeau.utils.data.dataloader import DataLoader, _DatasetKind
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
from flambeau.utils.data.distributed import DistributedSampler
from flambeau.utils.data.info import WorkerInfo, get_worker_info
from flambeau.utils.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from flambeau.utils.data.stateful import StatefulDataLoader

__all__ = [
    "DataLoader", "StatefulDataLoader", "_DatasetKind", "default_collate", "default_convert",
    "Dataset", "IterableDataset", "TensorDataset", "StackDataset", "ConcatDataset", "ChainDataset", "Subset",
    "random_split",
    "Sampler", "SequentialSampler", "RandomSampler", "SubsetRandomSampler", "WeightedRandomSampler", "BatchSampler",
    "DistributedSampler",
    "WorkerInfo", "get_worker_info",
]  # fmt: skip
