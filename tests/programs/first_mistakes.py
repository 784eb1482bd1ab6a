"""What everybody does wrong once: the type of the error, and the words that one searches the web for."""
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F


def mistake(label, words, function):
    try:
        result = function()
    except Exception as error:
        kinds = [kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "builtins"]
        print(label, "->", kinds[0], "|", words in str(error) or str(error))
    else:
        print(label, "->", result)


def assign(tensor, key, value):
    tensor[key] = value


def twice():
    loss = (w ** 2).sum()
    loss.backward()
    loss.backward()


def changed():
    y = w.exp()
    y += 1
    y.sum().backward()


def changed_weights():
    layer = nn.Linear(2, 2)
    out = layer(layer(w)).sum()
    with torch.no_grad():
        layer.weight.add_(1)
    out.backward()


w = torch.ones(2, requires_grad=True)
m = torch.arange(6.0).view(2, 3)
mistake("add", "must match the size of tensor b (2) at non-singleton dimension 1", lambda: m + torch.ones(2))
mistake("add two", "The size of tensor a (3) must match the size of tensor b (5)", lambda: m + torch.ones(4, 5))
mistake("matmul", "mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)", lambda: m @ m)
mistake("linear", "mat1 and mat2 shapes cannot be multiplied (56x28 and 784x10)",
        lambda: nn.Linear(784, 10)(torch.ones(2, 28, 28)))
mistake("linear dtype", "mat1 and mat2 must have the same dtype, but got Double and Float",
        lambda: nn.Linear(2, 2)(torch.ones(1, 2).double()))
mistake("linear int", "mat1 and mat2 must have the same dtype, but got Long and Float",
        lambda: nn.Linear(2, 2)(torch.ones(1, 2).long()))
mistake("conv", "to have 1 channels, but got 3 channels instead", lambda: nn.Conv2d(1, 2, 3)(torch.ones(1, 3, 5, 5)))
mistake("conv flat", "Expected 3D (unbatched) or 4D (batched) input to conv2d, but got input of size: [28, 28]",
        lambda: nn.Conv2d(1, 2, 3)(torch.ones(28, 28)))
mistake("conv small", "Kernel size can't be greater than actual input size",
        lambda: nn.Conv2d(1, 2, 3)(torch.ones(1, 1, 2, 2)))
mistake("cat", "Sizes of tensors must match except in dimension 0", lambda: torch.cat([m, torch.ones(2, 2)]))
mistake("stack", "stack expects each tensor to be equal size", lambda: torch.stack([torch.ones(2), torch.ones(3)]))
mistake("view", "is invalid for input of size 6", lambda: m.view(4, 2))
mistake("view of t", "Use .reshape(...) instead", lambda: m.t().view(6))
mistake("expand", "must match the existing size (2) at non-singleton dimension 0", lambda: m.expand(3, 3))
mistake("squeeze dim", "Dimension out of range (expected to be in range of [-2, 1], but got 5)", lambda: m.squeeze(5))
mistake("index", "index 3 is out of bounds for dimension 0 with size 2", lambda: m[3])
mistake("indices", "too many indices for tensor of dimension 2", lambda: m[0, 0, 0])
mistake("mask", "does not match the shape of the indexed tensor", lambda: m[torch.tensor([True, False, True])])
mistake("float index", "tensors used as indices must be long", lambda: m[torch.tensor([0.5])])
mistake("negative step", "step must be greater than zero", lambda: m[::-1])
mistake("0-d index", "invalid index of a 0-dim tensor", lambda: torch.tensor(1.0)[0])
mistake("0-d iteration", "iteration over a 0-d tensor", lambda: list(torch.tensor(1.0)))
mistake("0-d len", "len() of a 0-d tensor", lambda: len(torch.tensor(1.0)))
mistake("masked values", "cannot be broadcast to indexing result of shape [5]",
        lambda: assign(m.clone(), m > 0, torch.ones(2)))
mistake("assign a string", "can't assign a str", lambda: assign(m.clone(), 0, "a"))
mistake("gather", "out of bounds for dimension 1 with size 3", lambda: m.gather(1, torch.tensor([[0], [3]])))
mistake("embedding", "index out of range in self", lambda: nn.Embedding(3, 2)(torch.tensor([3])))
mistake("embedding floats", "Expected tensor for argument #1 'indices' to have one of the following scalar types",
        lambda: nn.Embedding(3, 2)(torch.tensor([1.0])))
mistake("target range", "Target 5 is out of bounds", lambda: F.cross_entropy(torch.ones(3, 5), torch.tensor([0, 5, 1])))
mistake("target batch", "Expected input batch_size (3) to match target batch_size (2)",
        lambda: F.cross_entropy(torch.ones(3, 5), torch.tensor([0, 1])))
mistake("target floats", "Long", lambda: F.cross_entropy(torch.ones(2, 5), torch.tensor([0.0, 1.0])))
mistake("bce range", "all elements of input should be between 0 and 1",
        lambda: nn.BCELoss()(torch.tensor([1.5]), torch.tensor([1.0])))
mistake("bce ints", "Found dtype Long but expected Float", lambda: nn.BCELoss()(torch.ones(1), torch.ones(1).long()))
mistake("bce logits ints", "can't be cast to the desired output type Long",
        lambda: nn.BCEWithLogitsLoss()(torch.ones(1), torch.ones(1).long()))
mistake("bce sizes", "that is different to the input size", lambda: nn.BCELoss()(torch.ones(1), torch.ones(1, 1)))
mistake("batch of one", "Expected more than 1 value per channel when training",
        lambda: nn.BatchNorm1d(3)(torch.ones(1, 3)))
mistake("mean of ints", "could not infer output dtype", lambda: torch.tensor([1, 2]).mean())
mistake("ints in place", "can't be cast to the desired output type Long", lambda: torch.tensor([1, 2]).mul_(0.5))
mistake("grad of ints", "floating point", lambda: torch.tensor([1, 2], requires_grad=True))
mistake("no grad", "does not require grad and does not have a grad_fn", lambda: torch.ones(2).sum().backward())
mistake("not scalar", "grad can be implicitly created only for scalar outputs", lambda: (w * 2).backward())
mistake("twice", "Trying to backward through the graph a second time", twice)
mistake("changed", "has been modified by an inplace operation", changed)
mistake("changed weights", "has been modified by an inplace operation", changed_weights)
mistake("leaf in place", "a leaf Variable that requires grad is being used in an in-place operation", lambda: w.add_(1))
mistake("leaf item", "a view of a leaf Variable that requires grad", lambda: assign(w, 0, 1.0))
mistake("unused", "appears to not have been used in the graph",
        lambda: torch.autograd.grad((w * 2).sum(), torch.ones(1, requires_grad=True)))
mistake("numpy", "Can't call numpy() on Tensor that requires grad", lambda: w.numpy())
mistake("bool", "Boolean value of Tensor with more than one value is ambiguous", lambda: bool(m))
mistake("item", "cannot be converted to Scalar", lambda: m.item())
mistake("ragged", "expected sequence of length 2 at dim 1 (got 1)", lambda: torch.tensor([[1, 2], [3]]))
mistake("strings", "too many dimensions 'str'", lambda: torch.tensor("a"))
mistake("negative strides", "At least one stride in the given numpy array is negative",
        lambda: torch.from_numpy(np.arange(4)[::-1]))
mistake("not an array", "expected np.ndarray", lambda: torch.from_numpy([1, 2]))
mistake("list operand", "unsupported operand type", lambda: m + [1, 2, 3])
mistake("empty optimizer", "optimizer got an empty parameter list", lambda: torch.optim.SGD([], lr=0.1))
mistake("not a leaf", "can't optimize a non-leaf Tensor", lambda: torch.optim.SGD([w * 2], lr=0.1))
mistake("no such layer", "has no attribute 'fc'", lambda: nn.Linear(1, 1).fc)
mistake("not a parameter", "torch.nn.Parameter or None expected",
        lambda: setattr(nn.Linear(1, 1), "weight", torch.ones(1, 1)))
mistake("no forward", "forward", lambda: nn.Module()(torch.ones(1)))
mistake("dropout", "dropout probability has to be between 0 and 1", lambda: nn.Dropout(1.5))
mistake("einsum", "einsum()", lambda: torch.einsum("ij,jk->ik", m, m))
mistake("grad shape", "attempting to assign a gradient of size", lambda: setattr(w, "grad", torch.ones(3)))
mistake("split", "split_with_sizes expects split_sizes to sum exactly to 3", lambda: m.split([1, 1], dim=1))
mistake("topk", "selected index k out of range", lambda: m.topk(5))
mistake("empty max", "Expected reduction dim to be specified for input.numel() == 0", lambda: torch.tensor([]).max())
