"""A line fitted with tensors and gradients only, no nn: the loss curve must come out digit for digit."""
import torch

torch.manual_seed(42)
inputs = torch.randn(100, 1)
targets = 3 * inputs + 2 + 0.5 * torch.randn(100, 1)
slope, offset = torch.randn(1, requires_grad=True), torch.zeros(1, requires_grad=True)
print(f"start: {slope.item():.4f} {offset.item():.4f}")
losses = []
for epoch in range(100):
    loss = ((slope * inputs + offset - targets) ** 2).mean()
    losses.append(loss.item())
    loss.backward()
    with torch.no_grad():
        slope -= 0.05 * slope.grad
        offset -= 0.05 * offset.grad
    slope.grad.zero_()
    offset.grad.zero_()
    if (epoch + 1) % 20 == 0:
        print(f"epoch {epoch + 1}, loss {losses[-1]:.4f}")
print(f"end: {slope.item():.3f} {offset.item():.3f}")
assert abs(slope.item() - 3) < 0.2 and abs(offset.item() - 2) < 0.2
with torch.no_grad():
    fitted = slope * inputs + offset
assert fitted.numpy().shape == (100, 1)
