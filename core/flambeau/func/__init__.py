"""Modules as functions of their parameters: `torch.func`.

>>> import flambeau as torch
>>> layer = torch.nn.Linear(2, 1)
>>> torch.func.functional_call(layer, {"weight": torch.ones(1, 2), "bias": torch.zeros(1)}, torch.tensor([1., 2.]))
tensor([3.])
"""

from __future__ import annotations

from flambeau.func.modules import functional_call, replace_all_batch_norm_modules_, stack_module_state

__all__ = ["functional_call", "replace_all_batch_norm_modules_", "stack_module_state"]
