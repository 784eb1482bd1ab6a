"""Whole training steps: the forward pass, the loss, the walk back and the optimiser, as a program runs them."""

from .libraries import LIBRARIES, library

BATCH = 64


class MnistStep:
    """One step of the MNIST classifier of the demo, batch 64, Adam, with the loss read back."""

    params = (LIBRARIES,)
    param_names = ("library",)

    def setup(self, name):
        torch = library(name)
        nn = torch.nn
        self.model = nn.Sequential(
            nn.Flatten(),
            nn.Linear(28 * 28, 128),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(128, 64),
            nn.ReLU(),
            nn.Linear(64, 10),
        )
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)
        self.images = torch.randn(BATCH, 1, 28, 28)
        self.labels = torch.randint(0, 10, (BATCH,))

    def time_step(self, name):
        self.optimizer.zero_grad()
        loss = self.criterion(self.model(self.images), self.labels)
        loss.backward()
        self.optimizer.step()
        loss.item()

    def time_evaluate(self, name):
        self.model(self.images).argmax(1)


class OptimizerStep:
    """One step of an optimiser on the parameters of a small perceptron, their gradients given."""

    params = (LIBRARIES, ("SGD", "AdamW", "RMSprop", "NAdam", "Adafactor"))
    param_names = ("library", "optimizer")

    def setup(self, name, optimizer):
        torch = library(name)
        parameters = [torch.nn.Parameter(torch.randn(*shape)) for shape in ((128, 784), (128,), (10, 128), (10,))]
        for parameter in parameters:
            parameter.grad = torch.randn(*parameter.shape)
        self.optimizer = getattr(torch.optim, optimizer)(parameters, lr=1e-4)

    def time_step(self, name, optimizer):
        self.optimizer.step()
