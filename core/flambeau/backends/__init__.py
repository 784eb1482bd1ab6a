"""Switches of the libraries that PyTorch is built with. Here they are kept and given back; most change nothing.

>>> import flambeau as torch
>>> torch.backends.cudnn.benchmark = True
>>> torch.backends.mps.is_available() in (True, False)
True
"""

from flambeau.backends import cpu, cuda, cudnn, mkl, mkldnn, mps, openmp, xpu

__all__ = ["cpu", "cuda", "cudnn", "mkl", "mkldnn", "mps", "openmp", "xpu"]
