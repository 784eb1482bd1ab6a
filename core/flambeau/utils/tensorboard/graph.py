"""What a model computed, as the graph that TensorBoard draws: a node for each call, in the modules that made it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import flambeau
from flambeau.dispatch import Mode
from flambeau.nn.modules.module import Module
from flambeau.registry import OpDef
from flambeau.tensor import Tensor
from flambeau.utils._pytree import tree_iter


class _Drawing(Mode):
    """Notes each call: which node made each of its inputs, and within which module it ran."""

    def __init__(self, model: Module, inputs: tuple[Any, ...]) -> None:
        from tensorboard.compat.proto.graph_pb2 import GraphDef
        from tensorboard.compat.proto.versions_pb2 import VersionDef

        self.graph = GraphDef(versions=VersionDef(producer=22))
        self.root = type(model).__name__
        self._scope = [self.root]
        self._counts: Counter[str] = Counter()
        self._maker: dict[int, str] = {}
        self._kept: list[Any] = []  # an id is a tensor's for as long as it lives
        self._hooks: list[Any] = []
        self._model = model
        for number, each in enumerate(_tensors(inputs)):
            self._node(f"input/{number}", "IO Node", [], [each])
        for path, each in (*model.named_parameters(), *model.named_buffers()):
            place = "/".join([self.root, *path.split(".")])
            self._node(place, "Parameter" if each.requires_grad else "Buffer", [], [each])

    def _node(self, name: str, kind: str, inputs: list[str], results: list[Tensor]) -> None:
        from tensorboard.compat.proto.attr_value_pb2 import AttrValue
        from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

        dim = TensorShapeProto.Dim
        shapes = [TensorShapeProto(dim=[dim(size=size) for size in each.shape]) for each in results]
        value = AttrValue(list=AttrValue.ListValue(shape=shapes))
        self.graph.node.add(name=name, op=kind, input=inputs, attr={"_output_shapes": value})
        for each in results:
            self._maker[id(each)] = name
            self._kept.append(each)

    def __enter__(self) -> _Drawing:
        for path, module in self._model.named_modules():
            if path:
                self._hooks.append(module.register_forward_pre_hook(
                    lambda module, args, path=path: self._scope.append("/".join([self.root, *path.split(".")]))))
                self._hooks.append(module.register_forward_hook(lambda module, args, result: self._leave()))
        super().__enter__()
        return self

    def _leave(self) -> None:
        self._scope.pop()

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        for hook in self._hooks:
            hook.remove()

    def intercept(self, record: OpDef, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run one call and draw it."""
        result = call(*args, **kwargs)
        name = f"{self._scope[-1]}/{record.name}"
        self._counts[name] += 1
        if self._counts[name] > 1:
            name += f"_{self._counts[name] - 1}"
        sources = [self._maker[id(each)] for each in _tensors((args, kwargs)) if id(each) in self._maker]
        self._node(name, f"aten::{record.name}", sources, list(_tensors(result)))
        return result


def draw(model: Module, inputs: Any) -> Any:
    """The `GraphDef` of one call of the model."""
    given = inputs if isinstance(inputs, tuple) else (inputs,)
    with flambeau.no_grad(), _Drawing(model, given) as drawing:
        results = model(*given)
    for number, each in enumerate(_tensors(results)):
        drawing._node(f"output/{number}", "IO Node", [drawing._maker[id(each)]], [each])
    return drawing.graph


def _tensors(value: Any) -> Iterator[Tensor]:
    return (each for each in tree_iter(value) if isinstance(each, Tensor))
