"""How tensors go to other processes.

Through queues and pipes they go by value, and no more of them than they show. A process that is started with a tensor
in shared memory among its arguments gets that memory.
"""

from __future__ import annotations

import pickle
from multiprocessing import context, reduction
from multiprocessing.reduction import ForkingPickler
from typing import Any

from flambeau.errors import GraphError
from flambeau.serialization import shared_memory
from flambeau.tensor import Tensor

__all__ = ["init_reductions", "reduce_tensor"]


def reduce_tensor(tensor: Tensor) -> Any:
    """What a pickle between processes says of a tensor. RuntimeError for one that has a gradient's history.

    >>> import flambeau as torch
    >>> from flambeau.multiprocessing.reductions import reduce_tensor
    >>> make, arguments = reduce_tensor(torch.zeros(1000, 10)[0])
    >>> make(*arguments).untyped_storage().nbytes()
    40
    """
    if tensor.requires_grad and not tensor.is_leaf:
        raise GraphError("Cowardly refusing to serialize non-leaf tensor which requires_grad, since autograd does not "
                         "support crossing process boundaries; send x.detach() and compute gradients on each side")
    shared = shared_memory.description(tensor) if type(tensor) is Tensor else None
    if shared is not None and context.get_spawning_popen() is not None:
        file, rest = shared
        return _attach, (reduction.DupFd(file), *rest)
    if type(tensor) is Tensor and tensor.untyped_storage().nbytes() > tensor.numel() * tensor.element_size():
        # a row of a large tensor must not take the whole with it
        tensor = tensor.detach().clone().requires_grad_(tensor.requires_grad)
    return tensor.__reduce_ex__(pickle.HIGHEST_PROTOCOL)


def _attach(file: Any, *rest: Any) -> Tensor:
    return shared_memory.attach(file.detach(), *rest)


def init_reductions() -> None:
    """Let `multiprocessing` use `reduce_tensor`; done when `flambeau.multiprocessing` is imported.

    >>> init_reductions()
    """
    from flambeau.nn.parameter import Parameter

    for kind in (Tensor, Parameter):
        ForkingPickler.register(kind, reduce_tensor)
