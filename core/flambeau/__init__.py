"""Flambeau: a tensor library with PyTorch's API, in pure Python, over backends that are plugins.

    import flambeau as torch
"""

from flambeau import grad_members, ops, walk
from flambeau.device import device, get_default_device, set_default_device
from flambeau.dispatch import fallback, fallback_counts
from flambeau.dtypes import *
from flambeau.dtypes import bool_ as bool
from flambeau.ops.creation import *
from flambeau.ops.elementwise import *
from flambeau.ops.reduction import *
from flambeau.ops.shape import *
from flambeau.shapes import Size
from flambeau.tensor import Tensor
