"""The base of `Tensor` to which the operators attach their methods; `_methods.pyi` lists them for type checkers."""


class TensorMethods:
    """Empty in the source: filled from the table of operators when `flambeau.ops` is imported."""
