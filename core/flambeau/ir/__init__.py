"""Expressions that kernels are generated from: stated once per operator, rendered per device.

`expr` has the scalar expressions of pointwise operators. They know nothing of tensors, dtypes or backends.
"""
