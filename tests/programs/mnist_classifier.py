"""A classifier of handwritten digits, trained and tested: the data come from FLAMBEAU_DATA, 3,200 of them per epoch."""
import os
import sys

import torch
import torch.nn as nn
import torch.optim as optim
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms

device = "cuda" if torch.cuda.is_available() else "cpu"
transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
root = os.environ.get("FLAMBEAU_DATA", "./data")
train_data = datasets.MNIST(root, train=True, download=True, transform=transform)
test_data = datasets.MNIST(root, train=False, download=True, transform=transform)
torch.manual_seed(0)
train_loader = DataLoader(Subset(train_data, range(3200)), batch_size=64, shuffle=True)
test_loader = DataLoader(Subset(test_data, range(1000)), batch_size=64, shuffle=False)


class MNISTNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Flatten(),
            nn.Linear(28 * 28, 128),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(128, 64),
            nn.ReLU(),
            nn.Linear(64, 10),
        )

    def forward(self, x):
        return self.net(x)


model = MNISTNet().to(device)
criterion = nn.CrossEntropyLoss()
optimizer = optim.Adam(model.parameters(), lr=1e-3)
losses = []
for epoch in range(2):
    model.train()
    running_loss = 0.0
    for images, labels in train_loader:
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        outputs = model(images)
        loss = criterion(outputs, labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        running_loss += losses[-1]
    model.eval()
    correct, total = 0, 0
    with torch.no_grad():
        for images, labels in test_loader:
            images, labels = images.to(device), labels.to(device)
            outputs = model(images)
            _, predicted = torch.max(outputs, 1)
            total += labels.size(0)
            correct += (predicted == labels).sum().item()
    print(f"Epoch {epoch + 1}/2 | Loss: {running_loss / len(train_loader):.3f} | Test Acc: {correct / total:.2f}")
assert correct / total > 0.85
print("losses", *[f"{each:.6f}" for each in losses], file=sys.stderr)
