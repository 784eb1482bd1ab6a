"""Where results are easily wrong: infinities, empty dimensions, ties with the border, conventions of gradients."""

import numpy as np
import pytest

import flambeau
from both import compare, draw
from flambeau.registry import OPERATORS

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
INF = float("inf")


def same(call, *arrays):
    """Both libraries' results of a call without gradients."""
    ours, theirs = (call(library, *[library.from_numpy(np.array(each)) for each in arrays])
                    for library in (flambeau, torch))
    ours, theirs = (each if isinstance(each, tuple) else (each,) for each in (ours, theirs))
    for one, other in zip(ours, theirs, strict=True):
        assert str(one.dtype).rpartition(".")[2] == str(other.dtype).rpartition(".")[2]
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-6)


def test_an_infinity_stays_in_its_bin():
    x = np.array([[INF, 1, 2, 3, 4, 5]])
    same(lambda library, x: library.nn.functional.adaptive_avg_pool1d(x, 4), x)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_the_border_wins_no_maximum(dtype):
    x = np.zeros((1, 1, 4, 3), dtype)
    x[0, 0, 1:] = 0 if dtype == "uint8" else -INF
    same(lambda library, x: library.nn.functional.max_pool2d(x, 3, padding=1, return_indices=True), x)
    arguments = (3, 3), (3, 3), (1, 1), (1, 1), (2, 1)
    ours = OPERATORS["max_pool"].decomposition(flambeau.from_numpy(x), *arguments)
    native = OPERATORS["max_pool"].call(flambeau.from_numpy(x), *arguments)
    assert ours[1].tolist() == native[1].tolist()


@pytest.mark.parametrize("name", ["asinh", "atan", "ceil", "floor", "trunc"])
def test_decompositions_at_infinity(name):
    values = [INF, -INF, 3e30, -2.5, 0.0]
    ours = OPERATORS[name].decomposition(flambeau.tensor(values))
    np.testing.assert_allclose(ours.numpy(), getattr(torch, name)(torch.tensor(values)).numpy(), rtol=1e-6)


def test_hypot_of_infinities():
    a, b = flambeau.tensor([INF, -INF, 3.0, 0.0]), flambeau.tensor([INF, float("nan"), 4.0, 0.0])
    assert OPERATORS["hypot"].decomposition(a, b).tolist() == [INF, INF, 5.0, 0.0]


@pytest.mark.parametrize("name", ["dropout", "feature_dropout", "alpha_dropout"])
def test_dropping_everything_draws_nothing(name):
    for dtype in ("float32", "int64"):
        same(lambda library, x, name=name: getattr(library, name)(x, 1.0, True), np.ones((2, 3), dtype))
    flambeau.manual_seed(3)
    flambeau.nn.functional.dropout(flambeau.ones(4), 1.0)
    after = flambeau.rand(1).item()
    flambeau.manual_seed(3)
    assert flambeau.rand(1).item() == after


def test_empty_dimensions():
    same(lambda library, x, w, b: library.nn.functional.linear(x, w, b), np.ones((2, 3, 0)), np.ones((5, 0)),
         np.ones(5))
    same(lambda library, x: library.nn.functional.adaptive_avg_pool2d(x, 3), np.ones((2, 0, 4, 5)))
    same(lambda library, q, v: library.nn.functional.scaled_dot_product_attention(q, q, v), np.ones((2, 3, 0)),
         np.ones((2, 3, 4)))
    for order in (INF, 1, 2):
        same(lambda library, x, order=order: library.linalg.matrix_norm(x, order), np.ones((2, 0, 0)))
    x = flambeau.ones(0, 2, 4, 4, requires_grad=True)
    flambeau.nn.functional.max_pool2d(x, 2).sum().backward()
    assert x.grad.shape == (0, 2, 4, 4)


def test_gradients_follow_conventions():
    compare(lambda library, x, y: library.cosine_similarity(x, y, dim=0, eps=4.0), draw(3, 2), draw(3, 2, seed=1))
    square = draw(3, 3)
    compare(lambda library, x: library.linalg.eigh(x)[0] ** 2, square)
    compare(lambda library, x: library.linalg.cholesky(x), square @ square.T + np.eye(3))
    compare(lambda library, x, y: library.nn.functional.huber_loss(x, y, weight=x * x), draw(2, 3), draw(2, 3, seed=1))


def test_gradients_of_statistics():
    def all_results(library, x):     # PyTorch takes the two statistics' gradients only together
        result, mean, rstd = library.native_group_norm(x, None, None, 2, 4, 3, 2, 1e-5)
        return result.reshape(2, 2, 6) * mean.unsqueeze(-1) * rstd.unsqueeze(-1)
    compare(all_results, draw(2, 4, 3))
    for library in (flambeau, torch):
        results = library.native_layer_norm(library.ones(3, 4, requires_grad=True), (4,), None, None, 1e-5)
        assert [each.requires_grad for each in results] == [True, False, False]


def test_complex_rms_norm():
    def gradient(library):
        x = library.from_numpy(draw(3, 4) + 1j * draw(3, 4, seed=1)).requires_grad_()
        library.nn.functional.rms_norm(x, (4,), eps=0.5).abs().sum().backward()
        return x.grad.numpy()
    np.testing.assert_allclose(gradient(flambeau), gradient(torch), rtol=1e-6)


def test_dtypes_of_margin_losses():
    x = np.array([3, -2, 1])
    same(lambda library, x: library.nn.functional.hinge_embedding_loss(x, x.sign(), 2.5, reduction="none"), x)
    same(lambda library, x: library.nn.functional.margin_ranking_loss(x, -x, x.sign(), reduction="none"), x)
    same(lambda library, x: library.nn.functional.local_response_norm(x, 2, alpha=0.5), x.reshape(1, 3, 1))


@pytest.mark.parametrize("call", [
    lambda library, i: library.linalg.vector_norm(i, dtype=library.float32),
    lambda library, i: library.linalg.vector_norm(i.double(), dtype=library.float32),
    lambda library, i: library.linalg.vector_norm(i.cfloat(), dtype=library.float32),
    lambda library, i: library.nn.functional.kl_div(i, i, reduction="sum"),
    lambda library, i: library.nn.functional.conv1d(i.bool(), i.bool()),
    lambda library, i: library.nn.functional.conv1d(i.float(), i[:0].float()),
    lambda library, i: library.cdist(i.cfloat(), i.cfloat()),
    lambda library, i: library.cosine_similarity(i.cfloat(), i.cfloat()),
    lambda library, i: library.softmax(i.cfloat(), 1)])
def test_refused_dtypes(call):
    for library in (torch, flambeau):
        with pytest.raises(RuntimeError):
            call(library, library.ones(2, 3, 4, dtype=library.int64))


def test_logaddexp_of_complex_numbers():
    a, b = draw(2, 3) + 1j * draw(2, 3, seed=1), draw(3) - 2j
    same(lambda library, a, b: library.logaddexp(a, b), a, b)
