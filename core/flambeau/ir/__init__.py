"""Expressions that kernels are generated from: stated once per operator, rendered per device.

`expr` has the scalar expressions of pointwise operators. They know nothing of tensors, dtypes or backends. `lower`
gives them dtypes and makes C of them, with the functions of `prelude` (`complex_prelude` for complex numbers) where
C has none; `loops` says what is computed over arrays, `clike` renders that as kernels, and `dialect` is where OpenCL C
and CUDA C differ. `reductions` states what reductions, searches and scans do; `faults` what kernels report.
"""
