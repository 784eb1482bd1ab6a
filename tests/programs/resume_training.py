"""A run that is interrupted and resumed; frozen layers, an average of the weights, schedules, broken checkpoints."""
import copy
import os
import tempfile

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim

torch.manual_seed(11)
inputs = torch.randn(32, 6)
targets = (inputs[:, 0] * inputs[:, 1] > 0).long()


class Net(nn.Module):
    def __init__(self, hidden=12):
        super().__init__()
        self.features = nn.Sequential(nn.Linear(6, hidden), nn.BatchNorm1d(hidden), nn.ReLU())
        self.classifier = nn.Linear(hidden, 2)
        self.register_buffer("steps", torch.tensor(0))

    def forward(self, x):
        self.steps += 1
        return self.classifier(self.features(x))


def make():
    model = Net()
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
    return model, optimizer, optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)


def train(model, optimizer, scheduler, epochs):
    losses = []
    for _ in range(epochs):
        for start in range(0, 32, 8):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(inputs[start:start + 8]), targets[start:start + 8])
            loss.backward()
            optimizer.step()
        scheduler.step()
        losses.append(f"{loss.item():.4f}")
    return losses


model, optimizer, scheduler = make()
start = copy.deepcopy(model.state_dict())
whole = train(model, optimizer, scheduler, 4)
print(whole, scheduler.get_last_lr(), model.steps)

model, optimizer, scheduler = make()
print(model.load_state_dict(start))
first = train(model, optimizer, scheduler, 2)
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "checkpoint.pt")
    torch.save({"epoch": 2, "model": model.state_dict(), "optimizer": optimizer.state_dict(),
                "scheduler": scheduler.state_dict(), "rng": torch.get_rng_state()}, path)
    model, optimizer, scheduler = make()
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
model.load_state_dict(checkpoint["model"])
optimizer.load_state_dict(checkpoint["optimizer"])
scheduler.load_state_dict(checkpoint["scheduler"])
torch.set_rng_state(checkpoint["rng"])
print(checkpoint["epoch"], optimizer.param_groups[0]["lr"], list(checkpoint["optimizer"]["state"]))
print(first + train(model, optimizer, scheduler, 2) == whole)

average = copy.deepcopy(model)
for p in average.parameters():
    p.requires_grad_(False)
model.classifier = nn.Linear(12, 3)
for name, parameter in model.named_parameters():
    parameter.requires_grad = name.startswith("classifier")
trainable = [p for p in model.parameters() if p.requires_grad]
print(len(trainable), [n for n, p in model.named_parameters() if p.requires_grad], average.classifier)
tuned = optim.Adam(filter(lambda p: p.requires_grad, model.parameters()), lr=1e-2)
model(inputs).logsumexp(1).mean().backward()
tuned.step()
print(model.features[0].weight.grad.shape, model.classifier.bias.grad.shape)
with torch.no_grad():
    for mine, new in zip(average.features.parameters(), model.features.parameters()):
        mine.mul_(0.9).add_(new, alpha=0.1)
print(torch.allclose(average.features[0].weight, model.features[0].weight), average.steps)

state = model.state_dict()
missing = {k: v for k, v in state.items() if k != "steps"}
missing["extra"] = torch.ones(1)
print(model.load_state_dict(missing, strict=False))
for bad in (missing, {"module." + k: v for k, v in state.items()}, {**state, "classifier.bias": torch.zeros(5)}):
    try:
        model.load_state_dict(bad)
    except RuntimeError as error:
        print(str(error))
try:
    torch.load("no-such-file.pt")
except FileNotFoundError as error:
    print(type(error).__name__, error.filename)
print(optimizer)
for rate in (optim.lr_scheduler.CosineAnnealingLR(tuned, T_max=4), optim.lr_scheduler.ExponentialLR(tuned, 0.5)):
    for _ in range(3):
        tuned.step()
        rate.step()
    print(f"{tuned.param_groups[0]['lr']:.6f}", rate.last_epoch)
