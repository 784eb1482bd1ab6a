"""Networks as modules: a class of one's own, a Sequential, counting parameters, saving and loading weights."""
import os
import tempfile

import torch
import torch.nn as nn


class SimpleNet(nn.Module):
    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.fc1 = nn.Linear(inputs, hidden)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(p=0.3)
        self.fc2 = nn.Linear(hidden, outputs)

    def forward(self, x):
        return self.fc2(self.dropout(self.relu(self.fc1(x))))


class TwoLayers(nn.Module):
    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.fc1 = nn.Linear(inputs, hidden)
        self.fc2 = nn.Linear(hidden, outputs)

    def forward(self, x):
        return self.fc2(torch.relu(self.fc1(x)))


torch.manual_seed(0)
model = SimpleNet(784, 128, 10)
print(model)
count = sum(p.numel() for p in model.parameters() if p.requires_grad)
print(f"Trainable parameters: {count:,}")
assert count == 101770

stack = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, 10))
print(stack, stack(torch.randn(32, 784)).shape)
two = TwoLayers(784, 256, 10)
print(two(torch.randn(32, 784)).shape, [name for name, _ in two.named_parameters()])

model.eval()
batch = torch.randn(4, 784)
with torch.no_grad():
    before = model(batch)
print(before)
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "model.pth")
    torch.save(model.state_dict(), path)
    other = SimpleNet(784, 128, 10)
    print(other.load_state_dict(torch.load(path)))
other.eval()
assert torch.equal(other(batch), before)
