"""Automatic differentiation: scalars, several inputs, vectors with a given gradient, accumulation, switching it off."""
import torch

x = torch.tensor(3.0, requires_grad=True)
y = x**2 + 2 * x + 1
print(y, y.grad_fn is not None)
y.backward()
print(x.grad)
assert x.grad.item() == 8.0

p, q = torch.tensor(2.0, requires_grad=True), torch.tensor(3.0, requires_grad=True)
z = p * q + q**2
print(z)
f = p**2 * q + q**3
f.backward()
print(p.grad, q.grad)
assert (p.grad.item(), q.grad.item()) == (12.0, 31.0)

torch.manual_seed(1)
weight, bias = torch.randn(4, 3, requires_grad=True), torch.randn(3, requires_grad=True)
loss = (torch.randn(10, 4) @ weight + bias).sum()
loss.backward()
print(weight.grad.shape, bias.grad, loss)

v = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
out = v**2
out.backward(torch.tensor([1.0, 1.0, 1.0]))
print(v.grad)

w = torch.tensor(2.0, requires_grad=True)
(w**2).backward()
(w**3).backward()
print(w.grad)
assert w.grad.item() == 16.0
w.grad.zero_()
(w**3).backward()
print(w.grad)

cut = (v**2).detach()
print(cut.requires_grad, cut)
try:
    (cut * 3).sum().backward()
except RuntimeError as error:
    print("refused:", "does not require grad" in str(error))
with torch.no_grad():
    print((v**2).requires_grad)
    v -= 0.1 * v.grad
print(v)
