"""Whether mixed precision on "cuda" is out of the question."""

from flambeau.amp.autocast_mode import is_usable


def amp_definitely_not_available() -> bool:
    """Whether there is no device of this type.

    >>> import flambeau as torch
    >>> torch.cuda.amp.amp_definitely_not_available() == (not torch.cuda.is_available())
    True
    """
    return not is_usable("cuda")


__all__ = ["amp_definitely_not_available"]
