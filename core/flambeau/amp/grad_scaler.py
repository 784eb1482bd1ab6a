"""`GradScaler`: multiply the loss, so that small gradients of float16 do not vanish, and divide them again in time.

How much is learnt on the way: a step whose gradients overflow is skipped and the scale goes down; after many steps
without it goes up. All of it stays on the device; the program waits for one number per step, whether to skip it.

Source: https://docs.pytorch.org/docs/stable/amp.html#gradient-scaling
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

from flambeau import dtypes
from flambeau.amp.autocast_mode import _caller, is_usable
from flambeau.autograd.grad_mode import no_grad
from flambeau.device import device
from flambeau.errors import ArgumentValueError, FlambeauError, GraphError
from flambeau.ops import creation, selection
from flambeau.tensor import Tensor

__all__ = ["GradScaler", "OptState"]


class OptState(Enum):
    """How far an optimizer is in the present iteration."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


class ScalerError(FlambeauError, AssertionError):
    """A `GradScaler` was used out of order, or with values that make no sense."""


class _Progress:
    """Of one optimizer since the last update: its stage, and per device whether a gradient was inf or nan."""

    def __init__(self) -> None:
        self.stage = OptState.READY
        self.found_inf: dict[device, Tensor] = {}


class GradScaler:
    """Scales a loss and unscales the gradients that come of it; skips the steps in which these are inf or nan.

    Arguments: `device` is the type of device on which the loss is; the scale begins with `init_scale`, is multiplied
    by `growth_factor` after `growth_interval` steps without inf or nan in a row, and by `backoff_factor` after a step
    with. With `enabled=False` every method does what the program would do without a scaler.

    AssertionError for a growth factor up to 1 or a backoff factor from 1 on; a warning, and no scaling, where there is
    no such device.

    >>> import flambeau as torch
    >>> w = torch.ones(2, requires_grad=True)
    >>> optimizer = torch.optim.SGD([w], lr=0.5)
    >>> scaler = torch.amp.GradScaler("cpu", init_scale=8.)
    >>> scaler.scale(w.sum()).backward(); w.grad
    tensor([8., 8.])
    >>> scaler.step(optimizer); scaler.update()
    >>> w.detach(), scaler.get_scale()
    (tensor([0.5000, 0.5000]), 8.0)
    """

    def __init__(self, device: str = "cuda", init_scale: float = 2.0 ** 16, growth_factor: float = 2.0,
                 backoff_factor: float = 0.5, growth_interval: int = 2000, enabled: bool = True) -> None:
        self._device = device
        self._enabled = enabled
        if enabled and not is_usable(device):
            warnings.warn(f"torch.{device}.amp.GradScaler is enabled, but {device.upper()} is not available. "
                          "Disabling.", UserWarning, stacklevel=_caller())
            self._enabled = False
        if not self._enabled:
            return
        if growth_factor <= 1.0:
            raise ScalerError(f"The growth factor must be > 1.0. Given: {growth_factor}")
        if backoff_factor >= 1.0:
            raise ScalerError(f"The backoff factor must be < 1.0. Given: {backoff_factor}")
        self._init_scale = init_scale
        self._init_growth_tracker = 0
        self._scale: Tensor | None = None              # made on the device of the first loss
        self._growth_tracker: Tensor | None = None     # how many steps without inf or nan there were in a row
        self._growth_factor = growth_factor
        self._backoff_factor = backoff_factor
        self._growth_interval = growth_interval
        self._progress: dict[int, _Progress] = {}      # by the optimizer's id

    # ------------------------------------------------------------------------------------------ forward
    def scale(self, outputs: Any) -> Any:
        """A loss, or nested iterables of losses, multiplied by the scale. ValueError for what is neither."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            return outputs * self._on(outputs.device)
        if isinstance(outputs, Iterable):
            scaled = map(self.scale, outputs)
            return type(outputs)(scaled) if isinstance(outputs, (list, tuple)) else scaled
        raise ArgumentValueError("outputs must be a Tensor or an iterable of Tensors; given: "
                                 f"{type(outputs).__name__}")

    def _on(self, where: device) -> Tensor:
        if self._scale is None:
            self._scale = creation.full((), self._init_scale, dtype=dtypes.float32, device=where)
            self._growth_tracker = creation.full((), self._init_growth_tracker, dtype=dtypes.int32, device=where)
        return self._scale.to(where, non_blocking=True)

    # ------------------------------------------------------------------------------------------ gradients
    def unscale_(self, optimizer: Any) -> None:
        """Divide the gradients of an optimizer's parameters by the scale: to clip or to look at them before `step`.

        Once per optimizer and step, after all its gradients are there: RuntimeError otherwise. ValueError for
        gradients of float16, which could not hold what comes out: parameters are to be float32.
        """
        if not self._enabled:
            return
        scale, _ = self._begun("unscale_")
        progress = self._of(optimizer)
        if progress.stage is OptState.UNSCALED:
            raise GraphError("unscale_() has already been called on this optimizer since the last update().")
        if progress.stage is OptState.STEPPED:
            raise GraphError("unscale_() is being called after step().")
        progress.found_inf = self._unscale(optimizer, _wide(scale).reciprocal().to(dtypes.float32), allow_fp16=False)
        progress.stage = OptState.UNSCALED

    def _unscale(self, optimizer: Any, factor: Tensor, *, allow_fp16: bool) -> dict[device, Tensor]:
        """Multiply gradients by a factor in place; per device, 1.0 if one is inf or nan, else 0.0."""
        grads = [param.grad for group in optimizer.param_groups for param in group["params"] if param.grad is not None]
        if not allow_fp16 and any(each.dtype is dtypes.float16 for each in grads):
            raise ArgumentValueError("Attempting to unscale FP16 gradients. Keep the parameters in float32 and let "
                                     "autocast cast them")
        found: dict[device, Tensor] = {}
        factors: dict[device, Tensor] = {}
        with no_grad():
            for grad in grads:
                where = grad.device
                finite = grad.isfinite().all()
                found[where] = found[where] & finite if where in found else finite
                if where not in factors:
                    factors[where] = factor.to(where, non_blocking=True)
                grad.mul_(factors[where])
            return {where: finite.logical_not().to(dtypes.float32) for where, finite in found.items()}

    # ------------------------------------------------------------------------------------------ steps
    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """`optimizer.step(*args, **kwargs)` with unscaled gradients, unless one of them is inf or nan; what it gives.

        RuntimeError for a second step before `update`, and for closures.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise GraphError("Closure use is not currently supported if GradScaler is enabled.")
        self._begun("step")
        progress = self._of(optimizer)
        if progress.stage is OptState.STEPPED:
            raise GraphError("step() has already been called since the last update().")
        if getattr(optimizer, "_step_supports_amp_scaling", False):
            return self._step_by_itself(optimizer, progress, args, kwargs)
        if progress.stage is OptState.READY:
            self.unscale_(optimizer)
        if not progress.found_inf:
            raise ScalerError("No inf checks were recorded for this optimizer.")
        skips = any(each.item() for each in progress.found_inf.values())
        result = None if skips else optimizer.step(*args, **kwargs)
        progress.stage = OptState.STEPPED
        return result

    def _step_by_itself(self, optimizer: Any, progress: _Progress, args: Any, kwargs: dict[str, Any]) -> Any:
        """The step of an optimizer that unscales and skips itself, from its attributes `grad_scale` and `found_inf`,
        or in the older way, from the scaler that it takes as an argument."""
        if "grad_scaler" in inspect.signature(optimizer.step).parameters:
            warnings.warn("GradScaler is going to stop passing itself as a keyword argument to the passed optimizer; "
                          "let the optimizer read its attributes grad_scale and found_inf instead", FutureWarning,
                          stacklevel=3)
            result = optimizer.step(*args, **kwargs, grad_scaler=self)
            progress.stage = OptState.STEPPED
            return result
        if progress.stage is OptState.READY:
            self._check_inf_per_device(optimizer)
        scale, _ = self._begun("step")
        own = getattr(optimizer, "grad_scale", None)
        unscaled = progress.stage is OptState.UNSCALED
        optimizer.grad_scale = own if unscaled else scale if own is None else scale * own
        optimizer.found_inf = sum(each.to(scale.device) for each in progress.found_inf.values())
        result = optimizer.step(*args, **kwargs)
        progress.stage = OptState.STEPPED
        del optimizer.grad_scale, optimizer.found_inf
        return result

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """End an iteration: adjust the scale by what was found in its gradients, or set it to `new_scale`, a float or
        a tensor with one element. AssertionError where no gradients were looked at since the last update."""
        if not self._enabled:
            return
        scale, tracker = self._begun("update")
        with no_grad():
            if new_scale is None:
                self._adjust(scale, tracker)
            elif isinstance(new_scale, float):
                scale.fill_(new_scale)
            else:
                if new_scale.device.type != self._device or new_scale.numel() != 1 or new_scale.requires_grad:
                    raise ScalerError("new_scale should be a float or a 1-element float tensor on a device of type "
                                      f"{self._device!r} with requires_grad=False.")
                scale.copy_(new_scale)
        self._progress = {}

    def _adjust(self, scale: Tensor, tracker: Tensor) -> None:
        found = [each.to(scale.device, non_blocking=True) for progress in self._progress.values()
                 for each in progress.found_inf.values()]
        if not found:
            raise ScalerError("No inf checks were recorded prior to update.")
        skipped = sum(found[1:], found[0]) > 0
        lasted = tracker + 1
        grows = lasted == self._growth_interval
        wide = _wide(scale)
        grown = (wide * self._growth_factor).to(dtypes.float32)
        kept = selection.where(grows & grown.isfinite(), grown, scale)
        scale.copy_(selection.where(skipped, (wide * self._backoff_factor).to(dtypes.float32), kept))
        tracker.copy_(lasted.masked_fill(skipped | grows, 0))

    # ------------------------------------------------------------------------------------------ its own state
    def _begun(self, what: str) -> tuple[Tensor, Tensor]:
        if self._scale is None or self._growth_tracker is None:
            raise ScalerError(f"Attempted {what} but _scale is None. Did the program use scaler.scale(loss) earlier in "
                              "the iteration?")
        return self._scale, self._growth_tracker

    def _of(self, optimizer: Any) -> _Progress:
        return self._progress.setdefault(id(optimizer), _Progress())

    def _check_inf_per_device(self, optimizer: Any) -> dict[device, Tensor]:
        """Look for inf and nan without unscaling: for optimizers that unscale themselves."""
        scale, _ = self._begun("_check_inf_per_device")
        one = creation.ones((), dtype=dtypes.float32, device=scale.device)
        self._of(optimizer).found_inf = self._unscale(optimizer, one, allow_fp16=True)
        return self._of(optimizer).found_inf

    def _found_inf_per_device(self, optimizer: Any) -> dict[device, Tensor]:
        """What was found in an optimizer's gradients since the last update."""
        return self._of(optimizer).found_inf

    def _get_scale_async(self) -> Tensor | None:
        """The scale where it is; None before the first loss."""
        return self._scale

    def _get_growth_tracker(self) -> int:
        """How many steps without inf or nan there were in a row."""
        if not self._enabled:
            return 0
        return self._init_growth_tracker if self._growth_tracker is None else int(self._growth_tracker.item())

    def get_scale(self) -> float:
        """The scale; 1.0 if not enabled. The program waits for the device."""
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else float(self._scale.item())

    def get_growth_factor(self) -> float:
        """What the scale is multiplied by to grow."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set what the scale is multiplied by to grow."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """What the scale is multiplied by after inf or nan."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set what the scale is multiplied by after inf or nan."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """After how many steps without inf or nan in a row the scale grows."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set after how many steps without inf or nan in a row the scale grows."""
        self._growth_interval = new_interval

    def is_enabled(self) -> bool:
        """Whether the scaler does anything."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """Scale, factors, interval and the count of good steps, as Python numbers; empty if not enabled.

        >>> import flambeau as torch
        >>> torch.amp.GradScaler("cpu", init_scale=4.).state_dict()["scale"]
        4.0
        """
        if not self._enabled:
            return {}
        return {"scale": self.get_scale(), "growth_factor": self._growth_factor,
                "backoff_factor": self._backoff_factor, "growth_interval": self._growth_interval,
                "_growth_tracker": self._get_growth_tracker()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave. RuntimeError for that of a scaler that was not enabled."""
        if not self._enabled:
            return
        if not state_dict:
            raise GraphError("The source state dict is empty, possibly because it was saved from a disabled instance "
                             "of GradScaler.")
        self._init_scale, self._init_growth_tracker = state_dict["scale"], state_dict["_growth_tracker"]
        self._growth_factor, self._backoff_factor = state_dict["growth_factor"], state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        if self._scale is not None and self._growth_tracker is not None:
            self._scale.fill_(self._init_scale)
            self._growth_tracker.fill_(self._init_growth_tracker)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        if self._enabled:
            if self._progress:
                raise ScalerError("A GradScaler instance may only be pickled at the beginning of an iteration, or at "
                                  "the end after scaler.update().")
            state.update(_init_scale=self.get_scale(), _init_growth_tracker=self._get_growth_tracker(), _scale=None,
                         _growth_tracker=None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def _wide(scale: Tensor) -> Tensor:
    """The scale in float64 where the device has it, so that factors such as 0.7 are not rounded first."""
    return scale.to(dtypes.float64) if dtypes.float64 in scale._kind.backend.capabilities.storage_dtypes else scale
