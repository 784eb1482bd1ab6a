"""One module on several devices of this process: each gets a part of the batch and a copy of the parameters.

Everything is made of copies between devices, which gradients go back through. With one device, or none but the host,
the module is called as it is.
"""

from __future__ import annotations

from flambeau.nn.parallel.data_parallel import DataParallel, data_parallel
from flambeau.nn.parallel.parallel_apply import parallel_apply
from flambeau.nn.parallel.replicate import replicate
from flambeau.nn.parallel.scatter_gather import gather, scatter

__all__ = ["DataParallel", "data_parallel", "gather", "parallel_apply", "replicate", "scatter"]
