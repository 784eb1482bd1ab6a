"""Inference mode, compared with PyTorch: what is marked, what nesting does, what is refused."""

from __future__ import annotations

import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")


def made_inside(t):
    x = t.ones(3)
    with t.inference_mode():
        made, view, product = t.ones(2), x[1:], x * 2
        inner = made.view(2, 1)
    return [each.is_inference() for each in (made, view, product, inner, made[:1], made + 1, x.add_(1))]


def nested(t):
    with t.inference_mode():
        with t.inference_mode(False):
            leaf = t.ones(2, requires_grad=True)
            result = leaf * 2
            inside = result.requires_grad, result.is_inference(), t.is_grad_enabled(), t.is_inference_mode_enabled()
        again = (t.ones(2) * 2).is_inference()
    with t.no_grad(), t.inference_mode(False):
        enabled = t.is_grad_enabled()
    return inside, again, enabled, t.is_grad_enabled(), t.is_inference_mode_enabled()


@pytest.mark.parametrize("program", [made_inside, nested])
def test_marks_and_nesting(program):
    assert program(flambeau) == program(torch)


def test_what_is_refused():
    for t in (flambeau, torch):
        with t.inference_mode():
            made = t.ones(2)
        leaf = t.ones(2, requires_grad=True)
        with pytest.raises(RuntimeError, match="Inference tensors cannot be saved for backward"):
            (leaf * made).sum().backward()
        with pytest.raises(RuntimeError, match="Setting requires_grad=True on inference tensor"):
            made.requires_grad_()
        assert (leaf + made).requires_grad
        assert (leaf * made.clone()).requires_grad
