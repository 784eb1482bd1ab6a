"""A first look at tensors: making them, what they know of themselves, arithmetic, moving to NumPy and back."""
import numpy as np
import torch

scalar = torch.tensor(2.75)
vector = torch.tensor([1.0, 2.5, -3.0])
matrix = torch.tensor([[1, 2, 3], [4, 5, 6]])
print(scalar, vector, matrix, matrix.shape, matrix.dtype, matrix.size(1), sep="\n")
assert matrix.shape == (2, 3) and matrix.dtype is torch.int64

torch.manual_seed(7)
print(torch.zeros(3, 4), torch.ones(2, 2), torch.randn(3, 4), torch.rand(2, 2), torch.randn(5, 5), sep="\n")
print(torch.zeros_like(matrix), torch.linspace(0, 10, steps=5), torch.arange(2, 11, 3), sep="\n")

a, b = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([4.0, 5.0, 6.0])
print(a + b, a - b, a * b, a / b, a**2, torch.dot(a, b), 2 * a + 1, -a, sep="\n")
assert torch.dot(a, b).item() == 32.0
print(torch.sqrt(a), torch.exp(a), torch.log(a), sep="\n")
a.add_(1)
print(a)

array = np.array([[1.0, 2.0], [3.0, 4.0]])
shared = torch.from_numpy(array)
array[0, 0] = 9.0
print(shared, shared.numpy() is not None, shared.device, shared.requires_grad, shared.is_contiguous())
assert shared[0, 0] == 9.0
print(torch.tensor([1, 2], dtype=torch.int32), torch.tensor([True, False]), torch.tensor([1 + 2j, 3 - 4j]))
print(torch.tensor([1.0, 2.0], dtype=torch.float64), torch.tensor([0.5], dtype=torch.float16))
device = "cuda" if torch.cuda.is_available() else "cpu"
print(a.to(device).cpu().numpy())
