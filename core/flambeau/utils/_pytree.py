"""Nested lists, tuples and dicts as trees: taken apart into leaves, and put together again.

The names are those of PyTorch's module of this name, which many programs import although it is private.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from flambeau.errors import ArgumentError, ArgumentTypeError, ArgumentValueError

__all__ = ["LeafSpec", "PyTree", "TreeSpec", "register_pytree_node", "tree_all", "tree_all_only", "tree_any",
           "tree_any_only", "tree_flatten", "tree_iter", "tree_leaves", "tree_map", "tree_map_", "tree_map_only",
           "tree_structure", "tree_unflatten"]

PyTree = Any
Flatten = Callable[[Any], tuple[Iterable[Any], Any]]  # a node to its children, and what else makes it what it is
Unflatten = Callable[[Iterable[Any], Any], Any]


class _Node(NamedTuple):
    flatten: Flatten
    unflatten: Unflatten


def _flatten_dict(node: Any) -> tuple[Iterable[Any], Any]:
    return node.values(), list(node)


_NODES: dict[type, _Node] = {
    list: _Node(lambda node: (node, None), lambda children, _: list(children)),
    tuple: _Node(lambda node: (node, None), lambda children, _: tuple(children)),
    dict: _Node(_flatten_dict, lambda children, keys: dict(zip(keys, children, strict=True))),
    OrderedDict: _Node(_flatten_dict, lambda children, keys: OrderedDict(zip(keys, children, strict=True))),
    defaultdict: _Node(lambda node: (node.values(), (node.default_factory, list(node))),
                       lambda children, more: defaultdict(more[0], zip(more[1], children, strict=True))),
    deque: _Node(lambda node: (node, node.maxlen), lambda children, length: deque(children, maxlen=length)),
}
# Named tuples and PyTorch's own result types are made by their class from the children one by one.
_NAMED = _Node(lambda node: (node, type(node)), lambda children, kind: kind(*children))

Leaf = Callable[[Any], bool] | None


def register_pytree_node(cls: type, flatten_fn: Flatten, unflatten_fn: Unflatten, **options: Any) -> None:
    """Let instances of a class be nodes.

    Args:
        cls: the class; ValueError for one that is known already.
        flatten_fn: from an instance to its children and a context.
        unflatten_fn: from children and context to an instance.
        options: for serialization; accepted.
    """
    if cls in _NODES:
        raise ArgumentValueError(f"register_pytree_node: {cls} is already registered as pytree node.")
    _NODES[cls] = _Node(flatten_fn, unflatten_fn)


def _node(value: Any, is_leaf: Leaf) -> _Node | None:
    """How a value is taken apart; None for a leaf."""
    if is_leaf is not None and is_leaf(value):
        return None
    if isinstance(value, tuple) and hasattr(value, "_fields") and type(value) not in _NODES:
        return _NAMED
    return _NODES.get(type(value))


class TreeSpec:
    """A tree without its leaves.

    Attributes:
        type: of the node; None for a leaf.
        context: what else than its children makes the node what it is.
        children_specs: the children, without their leaves.
        num_leaves: leaves below.
    """

    __slots__ = ("children_specs", "context", "num_leaves", "type")

    def __init__(self, type: Any, context: Any, children_specs: list[TreeSpec]) -> None:
        self.type, self.context, self.children_specs = type, context, children_specs
        self.num_leaves: int = 1 if type is None else sum(each.num_leaves for each in children_specs)

    def is_leaf(self) -> bool:
        """Whether it is a leaf."""
        return self.type is None

    def unflatten(self, leaves: Iterable[Any]) -> Any:
        """The tree with these leaves."""
        return tree_unflatten(leaves, self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TreeSpec) and (self.type, self.context, self.children_specs) == (
            other.type, other.context, other.children_specs)

    def __hash__(self) -> int:
        return hash((self.type, str(self.context), tuple(self.children_specs)))

    def __repr__(self) -> str:
        if self.type is None:
            return "*"
        return f"TreeSpec({self.type.__name__}, {self.context}, {self.children_specs})"


def LeafSpec() -> TreeSpec:
    """The tree that is a leaf."""
    return TreeSpec(None, None, [])


def tree_flatten(tree: PyTree, is_leaf: Leaf = None) -> tuple[list[Any], TreeSpec]:
    """The leaves, and the tree without them.

    >>> tree_flatten({"a": 1, "b": (2, [3])})[0]
    [1, 2, 3]
    """
    leaves: list[Any] = []

    def walk(value: Any) -> TreeSpec:
        node = _node(value, is_leaf)
        if node is None:
            leaves.append(value)
            return LeafSpec()
        children, context = node.flatten(value)
        return TreeSpec(type(value), context, [walk(each) for each in children])
    return leaves, walk(tree)


def tree_unflatten(leaves: Iterable[Any], treespec: TreeSpec) -> PyTree:
    """The tree with these leaves; ValueError if there are too few or too many."""
    given = list(leaves)
    if len(given) != treespec.num_leaves:
        raise ArgumentValueError(f"tree_unflatten: {len(given)} leaves were given, the tree has {treespec.num_leaves}")
    rest = iter(given)

    def build(spec: TreeSpec) -> Any:
        if spec.type is None:
            return next(rest)
        children = [build(each) for each in spec.children_specs]
        node = _NODES.get(spec.type, _NAMED)
        return node.unflatten(children, spec.context)
    return build(treespec)


def tree_iter(tree: PyTree, is_leaf: Leaf = None) -> Iterator[Any]:
    """The leaves, one by one."""
    node = _node(tree, is_leaf)
    if node is None:
        yield tree
    else:
        for each in node.flatten(tree)[0]:
            yield from tree_iter(each, is_leaf)


def tree_leaves(tree: PyTree, is_leaf: Leaf = None) -> list[Any]:
    """The leaves as a list."""
    return list(tree_iter(tree, is_leaf))


def tree_structure(tree: PyTree, is_leaf: Leaf = None) -> TreeSpec:
    """The tree without its leaves."""
    return tree_flatten(tree, is_leaf)[1]


def tree_map(func: Callable[..., Any], tree: PyTree, *rests: PyTree, is_leaf: Leaf = None) -> PyTree:
    """The tree of what the function makes of each leaf, and of those in its place in `rests`.

    >>> tree_map(lambda x, y: x + y, {"a": 1, "b": [2]}, {"a": 10, "b": [20]})
    {'a': 11, 'b': [22]}
    """
    leaves, spec = tree_flatten(tree, is_leaf)
    others = []
    for rest in rests:
        found, other = tree_flatten(rest, is_leaf)
        if other != spec:
            raise ArgumentValueError(f"tree_map: trees of different structure; given: {spec} and {other}")
        others.append(found)
    return tree_unflatten(map(func, leaves, *others), spec)


def tree_map_(func: Callable[..., Any], tree: PyTree, *rests: PyTree, is_leaf: Leaf = None) -> PyTree:
    """Call the function on each leaf; gives the tree as it is."""
    tree_map(func, tree, *rests, is_leaf=is_leaf)
    return tree


def _concerns(kinds: Any, func: Callable[[Any], Any] | None) -> Callable[[Any], bool]:
    if func is None:
        raise ArgumentTypeError("tree_map_only(): missing the function")
    if isinstance(kinds, (type, tuple)):
        return lambda leaf: isinstance(leaf, kinds)
    if callable(kinds):
        return kinds
    raise ArgumentError(f"tree_map_only: expected a type, several, or a test of a leaf; given: {kinds!r}")


def tree_map_only(kinds: Any, func: Callable[[Any], Any] | None, tree: PyTree, is_leaf: Leaf = None) -> PyTree:
    """`tree_map` on the leaves of some types only; the others stay."""
    concerns = _concerns(kinds, func)
    return tree_map(lambda leaf: func(leaf) if concerns(leaf) else leaf, tree,  # type: ignore[misc]
                    is_leaf=is_leaf)


def tree_all(pred: Callable[[Any], bool], tree: PyTree, is_leaf: Leaf = None) -> bool:
    """Whether it holds for all leaves."""
    return all(map(pred, tree_iter(tree, is_leaf)))


def tree_any(pred: Callable[[Any], bool], tree: PyTree, is_leaf: Leaf = None) -> bool:
    """Whether it holds for a leaf."""
    return any(map(pred, tree_iter(tree, is_leaf)))


def tree_all_only(kinds: Any, pred: Callable[[Any], bool], tree: PyTree, is_leaf: Leaf = None) -> bool:
    """Whether it holds for all leaves of some types."""
    concerns = _concerns(kinds, pred)
    return all(pred(leaf) for leaf in tree_iter(tree, is_leaf) if concerns(leaf))


def tree_any_only(kinds: Any, pred: Callable[[Any], bool], tree: PyTree, is_leaf: Leaf = None) -> bool:
    """Whether it holds for a leaf of some types."""
    concerns = _concerns(kinds, pred)
    return any(pred(leaf) for leaf in tree_iter(tree, is_leaf) if concerns(leaf))
