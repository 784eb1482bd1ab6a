"""The "cpu" backend: kernels on NumPy arrays."""

from flambeau_numpy.backend import NumpyBackend

__all__ = ["NumpyBackend"]
