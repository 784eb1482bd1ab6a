"""The kernels: the modules' tables in one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau_opencl.kernels import movement

KERNELS: dict[str, Callable[..., Any]] = {**movement.KERNELS}
