"""Recurrent layers over whole sequences, forward alone and with the way back; sizes of a text model, and tiny ones."""

from .libraries import LIBRARIES, library

# input size, hidden size, batch, length
SIZES = {"large": (128, 256, 32, 64), "tiny": (16, 32, 8, 20), "alone": (64, 64, 1, 100)}


class Layers:
    """One layer in one direction."""

    params = (["LSTM", "GRU", "RNN"], list(SIZES), LIBRARIES)
    param_names = ("layer", "size", "library")

    def setup(self, layer, size, name):
        torch = library(name)
        features, hidden, batch, length = SIZES[size]
        self.no_grad = torch.no_grad
        self.layer = getattr(torch.nn, layer)(features, hidden)
        self.input = torch.randn(length, batch, features)

    def time_forward(self, layer, size, name):
        with self.no_grad():
            self.layer(self.input)

    def time_forward_backward(self, layer, size, name):
        self.layer(self.input)[0].sum().backward()


class Cells:
    """A loop over time that the program writes itself."""

    params = (["LSTMCell", "GRUCell", "RNNCell"], LIBRARIES)
    param_names = ("cell", "library")

    def setup(self, cell, name):
        torch = library(name)
        self.cell = getattr(torch.nn, cell)(16, 32)
        self.steps = list(torch.randn(10, 8, 16))

    def time_forward_backward(self, cell, name):
        state = None
        for step in self.steps:
            state = self.cell(step, state)
        (state[0] if cell == "LSTMCell" else state).sum().backward()
