"""What one call costs when there is next to nothing to compute: the price of dispatch, autograd and views.

Tensors have ten elements, so that the time is the library's and not the arithmetic's.
"""

from .libraries import LIBRARIES, library

CHAIN_LENGTH = 100


class _Overhead:
    """Ten floats with and without gradients; the subclasses time one thing each."""

    params = (LIBRARIES,)
    param_names = ("library",)

    def setup(self, name):
        torch = self.torch = library(name)
        self.a, self.b = torch.randn(10), torch.randn(10)
        self.a_grad = torch.randn(10, requires_grad=True)
        self.b_grad = torch.randn(10, requires_grad=True)
        self.matrix = torch.randn(4, 5)
        self.numbers = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]


class Pointwise(_Overhead):
    """Additions, one and many, recorded and not."""

    def time_add(self, name):
        self.a + self.b

    def time_add_scalar(self, name):
        self.a + 1.0

    def time_add_in_place(self, name):
        self.a.add_(self.b)

    def time_add_grad(self, name):
        self.a_grad + self.b_grad

    def time_chain(self, name):
        x = self.a
        for _ in range(CHAIN_LENGTH):
            x = x + self.b

    def time_chain_grad(self, name):
        x = self.a_grad
        for _ in range(CHAIN_LENGTH):
            x = x + self.b

    def time_sum(self, name):
        self.a.sum()

    def time_item(self, name):
        self.a.sum().item()


class Views(_Overhead):
    """Operators that compute nothing at all."""

    def time_view(self, name):
        self.matrix.view(2, 10)

    def time_transpose(self, name):
        self.matrix.t()

    def time_select(self, name):
        self.matrix[1]

    def time_slice(self, name):
        self.matrix[1:3, ::2]


class Creation(_Overhead):
    """New tensors, from nothing and from Python's numbers."""

    def time_zeros(self, name):
        self.torch.zeros(10)

    def time_tensor(self, name):
        self.torch.tensor(self.numbers)

    def time_randn(self, name):
        self.torch.randn(10)


class Backward(_Overhead):
    """The walk back: per graph for the short ones, per node for the chain."""

    def time_backward(self, name):
        (self.a_grad * self.b_grad).sum().backward()

    def time_chain_forward_backward(self, name):
        x = self.a_grad
        for _ in range(CHAIN_LENGTH):
            x = x + self.b
        x.sum().backward()


class Linear(_Overhead):
    """The smallest layer of use: one sample through a 10-by-10 matrix."""

    def setup(self, name):
        super().setup(name)
        self.layer = self.torch.nn.Linear(10, 10)
        self.batch = self.torch.randn(1, 10)

    def time_forward(self, name):
        self.layer(self.batch)

    def time_forward_no_grad(self, name):
        with self.torch.no_grad():
            self.layer(self.batch)

    def time_forward_backward(self, name):
        self.layer(self.batch).sum().backward()
