"""From a call to a kernel: promote, find the kernel, run, record.

For whoever adds an operator the decorators are here; `run` has the general way of a call, `pointwise` and `views` the
short ways, `modes` what may watch or change calls, `fallback` what happens when a device has no kernel.
"""

from flambeau.dispatch.decorators import (
           alias,
           binary,
           composite,
           front,
           operator,
           pointwise,
           primitive,
           unary,
           view,
           views,
)
from flambeau.dispatch.fallback import FallbackWarning, fallback, fallback_counts
from flambeau.dispatch.modes import Mode
from flambeau.dispatch.pointwise import arithmetic, comparison, int_to_float, to_real
from flambeau.dispatch.run import execute

__all__ = ["FallbackWarning", "Mode", "alias", "arithmetic", "binary", "comparison", "composite", "execute", "fallback",
           "fallback_counts", "front", "int_to_float", "operator", "pointwise", "primitive", "to_real", "unary", "view",
           "views"]
