"""Data: a dataset of one's own, splitting, samplers, a collate function, workers, and what a seed fixes."""
import numpy as np
import torch
from torch.utils.data import (ConcatDataset, DataLoader, Dataset, IterableDataset, RandomSampler, Subset, TensorDataset,
                              WeightedRandomSampler, default_collate, random_split)


class Sentences(Dataset):
    """Sequences of different lengths, with a label and a name."""

    def __init__(self, count):
        self.items = [(torch.arange(1, 2 + i % 4), i % 3, f"s{i}") for i in range(count)]

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


class Points(Dataset):
    def __init__(self, count, transform=None):
        self.values = np.arange(count * 2, dtype=np.float32).reshape(count, 2)
        self.transform = transform

    def __len__(self):
        return len(self.values)

    def __getitem__(self, index):
        sample = {"point": torch.from_numpy(self.values[index]), "label": index % 2, "weight": index / 2, "id": str(index)}
        return self.transform(sample) if self.transform else sample


class Countdown(IterableDataset):
    def __iter__(self):
        return iter(range(5, 0, -1))


def pad(batch):
    sequences, labels, names = zip(*batch)
    lengths = torch.tensor([len(s) for s in sequences])
    padded = torch.zeros(len(batch), int(lengths.max()), dtype=torch.long)
    for row, sequence in enumerate(sequences):
        padded[row, :len(sequence)] = sequence
    return padded, lengths, torch.LongTensor(labels), list(names)


def double(sample):
    sample["point"] = sample["point"] * 2
    return sample


torch.manual_seed(0)
for padded, lengths, labels, names in DataLoader(Sentences(7), batch_size=3, shuffle=True, collate_fn=pad):
    print(padded, lengths.tolist(), labels, names)
for batch in DataLoader(Points(5, transform=double), batch_size=2):
    print(batch)
for batch in DataLoader(Points(6), batch_size=4, num_workers=2):
    print(batch["point"].sum().item(), batch["label"].tolist(), batch["id"])

train, valid, test = random_split(Points(10), [6, 2, 2], generator=torch.Generator().manual_seed(42))
print(list(train.indices), list(valid.indices), len(test))
print([len(part) for part in random_split(range(11), [0.5, 0.3, 0.2])])
tensors = TensorDataset(torch.arange(12.0).view(6, 2), torch.arange(6))
loader = DataLoader(tensors, batch_size=4, shuffle=True, drop_last=True, generator=torch.Generator().manual_seed(7))
print(len(loader), len(loader.dataset), [y.tolist() for _ in range(2) for _, y in loader])
torch.manual_seed(5)
print(list(RandomSampler(range(6))), list(WeightedRandomSampler([0.1, 0.2, 0.7], 6)))
print(len(ConcatDataset([tensors, Subset(tensors, [0, 3])])), ConcatDataset([tensors, tensors])[8])
print([batch for batch in DataLoader(Countdown(), batch_size=2)])
print(default_collate([{"a": 1.0, "b": (1, "x")}, {"a": 2.0, "b": (2, "y")}]))
mean = sum(x.mean(0) for x, _ in DataLoader(tensors, batch_size=3)) / 2
print(mean, tensors.tensors[0].std(dim=0))
iterator = iter(DataLoader(tensors, batch_size=4))
print(next(iterator)[1], next(iterator)[1])
try:
    next(iterator)
except StopIteration:
    print("exhausted")
try:
    next(iter(DataLoader(Sentences(4), batch_size=4)))
except RuntimeError as error:
    print("RuntimeError", "equal size" in str(error))
