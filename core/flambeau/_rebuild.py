"""The members of `Tensor` by which it is pickled, copied and asked for its storage.

They belong to `serialization`, which stands above the operators and is loaded when one of them is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flambeau.tensor import Tensor, attach

if TYPE_CHECKING:
    from flambeau.serialization.storage import TypedStorage, UntypedStorage


@attach
def __reduce_ex__(self: Tensor, protocol: Any) -> Any:
    from flambeau.serialization.rebuild import reduce_tensor
    return reduce_tensor(self, protocol)


@attach
def __deepcopy__(self: Tensor, memo: dict[int, Any]) -> Any:
    from flambeau.serialization.rebuild import deepcopy_tensor
    return deepcopy_tensor(self, memo)


@attach
def __setstate__(self: Tensor, state: Any) -> None:
    self.__dict__.update(state)


@attach
def untyped_storage(self: Tensor) -> UntypedStorage:
    """The memory that the tensor views: the same object for all tensors that share it.

    >>> import flambeau as torch
    >>> x = torch.zeros(2, 3)
    >>> x.untyped_storage().nbytes(), x.untyped_storage() is x.t().untyped_storage()
    (24, True)
    """
    from flambeau.serialization.storage import UntypedStorage
    return UntypedStorage.of(self)


@attach
def storage(self: Tensor) -> TypedStorage:
    """The memory that the tensor views, with its dtype."""
    from flambeau.serialization.storage import TypedStorage
    return TypedStorage(untyped_storage(self), self.dtype)


@attach
def is_shared(self: Tensor) -> bool:
    """Whether the memory is one that other processes see, see `share_memory_`."""
    from flambeau.serialization import shared_memory
    return shared_memory.is_shared(self)


@attach
def share_memory_(self: Tensor) -> Tensor:
    """Move the tensor to memory that other processes see, and return it.

    Processes that are forked afterwards, or started with the tensor among their arguments, see what is written into it,
    here and there. Tensors on other devices than the host stay as they are.

    >>> import flambeau as torch
    >>> torch.zeros(2).share_memory_().is_shared()
    True
    """
    from flambeau.serialization import shared_memory
    return shared_memory.share(self)


def is_storage(obj: Any) -> bool:
    """Whether an object is a storage.

    >>> import flambeau as torch
    >>> torch.is_storage(torch.ones(1).untyped_storage())
    True
    """
    from flambeau.serialization.storage import TypedStorage, UntypedStorage
    return isinstance(obj, (TypedStorage, UntypedStorage))
