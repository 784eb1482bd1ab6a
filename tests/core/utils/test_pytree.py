"""Nested containers as trees, beside PyTorch's."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque, namedtuple
from typing import Any

import pytest

import flambeau
from flambeau.utils import _pytree as mine

Point = namedtuple("Point", "x y")
TREES: list[Any] = [
    3, None, [], (1, [2, 3], {"a": 4, "b": ()}), OrderedDict([("b", 1), ("a", (2,))]),
    defaultdict(list, {"k": [1, 2]}), deque([1, [2]], maxlen=5), Point(1, [Point(2, 3)]), {"a": None}]


@pytest.mark.parametrize("tree", TREES, ids=repr)
def test_trees_are_taken_apart_as_in_pytorch(tree: Any) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    import torch.utils._pytree as theirs
    del torch
    leaves, spec = mine.tree_flatten(tree)
    wanted, other = theirs.tree_flatten(tree)
    assert leaves == wanted == mine.tree_leaves(tree)
    assert spec.num_leaves == other.num_leaves
    again = mine.tree_unflatten([(leaf, "seen") for leaf in leaves], spec)
    assert again == theirs.tree_map(lambda leaf: (leaf, "seen"), tree) and type(again) is type(
        theirs.tree_map(lambda leaf: (leaf, "seen"), tree))
    assert mine.tree_structure(tree) == spec and hash(spec) == hash(mine.tree_structure(tree))


def test_maps() -> None:
    tree = {"a": flambeau.ones(2), "b": [1, "text"]}
    doubled = mine.tree_map_only(flambeau.Tensor, lambda x: x * 2, tree)
    assert doubled["a"].tolist() == [2, 2] and doubled["b"] == [1, "text"]
    assert mine.tree_map(lambda a, b: (a, b), [1, 2], [3, 4]) == [(1, 3), (2, 4)]
    assert mine.tree_all_only(int, lambda x: x > 0, tree) and mine.tree_any(lambda x: x == "text", tree["b"])
    assert not mine.tree_all(lambda x: x == 1, tree["b"]) and not mine.tree_any_only(int, lambda x: x > 1, tree)
    assert mine.tree_flatten([(1, 2), 3], is_leaf=lambda x: isinstance(x, tuple))[0] == [(1, 2), 3]
    seen: list[Any] = []
    assert mine.tree_map_(seen.append, [1, [2]]) == [1, [2]] and seen == [1, 2]
    with pytest.raises(ValueError, match="different structure"):
        mine.tree_map(max, [1, 2], [1])
    with pytest.raises(ValueError, match="2 leaves were given, the tree has 1"):
        mine.tree_unflatten([1, 2], mine.LeafSpec())


class Pair:
    def __init__(self, first: Any, second: Any) -> None:
        self.first, self.second = first, second


def test_other_classes_can_be_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mine, "_NODES", dict(mine._NODES))
    mine.register_pytree_node(Pair, lambda pair: ((pair.first, pair.second), None), lambda each, _: Pair(*each))
    found = mine.tree_map(lambda x: x + 1, Pair(1, [2]))
    assert isinstance(found, Pair) and (found.first, found.second) == (2, [3])
    with pytest.raises(ValueError, match="already registered"):
        mine.register_pytree_node(Pair, lambda pair: ((), None), lambda each, _: None)
