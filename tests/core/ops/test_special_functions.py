"""`torch.special`, compared with PyTorch over the whole range of each function."""

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, 1e-8, 1e-3, 49.9, 50.1, -49.9, -50.1, 700.0, float("inf"), float("nan")]
POINTS = np.concatenate([np.linspace(-12, 12, 97), np.geomspace(1e-6, 300, 40), EDGES])

UNARY = ["entr", "erfcx", "ndtr", "log_ndtr", "i0", "i0e", "i1", "i1e", "bessel_j0", "bessel_j1", "bessel_y0",
         "bessel_y1", "modified_bessel_i0", "modified_bessel_i1", "modified_bessel_k0", "modified_bessel_k1",
         "scaled_modified_bessel_k0", "scaled_modified_bessel_k1", "spherical_bessel_j0"]
DIFFERENTIABLE = ["entr", "erfcx", "ndtr", "log_ndtr", "i0", "i0e", "i1", "i1e"]
POLYNOMIALS = ["chebyshev_polynomial_t", "chebyshev_polynomial_u", "chebyshev_polynomial_v", "chebyshev_polynomial_w",
               "shifted_chebyshev_polynomial_t", "shifted_chebyshev_polynomial_u", "shifted_chebyshev_polynomial_v",
               "shifted_chebyshev_polynomial_w", "hermite_polynomial_h", "hermite_polynomial_he",
               "laguerre_polynomial_l", "legendre_polynomial_p"]


@pytest.mark.parametrize("name", UNARY)
def test_values(name):
    want, have = (getattr(library.special, name)(library.tensor(POINTS)).numpy() for library in (torch, flambeau))
    loose = name.startswith("bessel_")     # PyTorch's own are good to 6e-7 just above 5
    np.testing.assert_allclose(have, want, rtol=1e-6 if loose else 2e-9, atol=1e-6 if loose else 1e-13)


@pytest.mark.parametrize("name, value", [("bessel_j0", -0.1775967713143383), ("bessel_j1", -0.3275791375914652),
                                         ("bessel_y0", -0.3085176252490338), ("bessel_y1", 0.1478631433912268)])
def test_bessel_functions_at_five(name, value):
    """Table 9.1 of Abramowitz and Stegun."""
    assert getattr(flambeau.special, name)(flambeau.tensor(5.0, dtype=flambeau.float64)).item() == pytest.approx(
        value, abs=2e-15)


@pytest.mark.parametrize("name", UNARY)
def test_dtypes(name):
    for dtype in ("int64", "bool", "float32"):
        want, have = (getattr(library.special, name)(library.ones(3).to(getattr(library, dtype)))
                      for library in (torch, flambeau))
        assert str(have.dtype) == str(want.dtype) == "torch.float32"
        np.testing.assert_allclose(have.numpy(), want.numpy(), rtol=1e-5)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients(name):
    points = np.array([-3.0, -0.5, 0.0, 0.25, 2.0, 9.0])[2 if name == "entr" else 0:]
    grads = []
    for library in (torch, flambeau):
        x = library.tensor(points, requires_grad=True)
        first, = library.autograd.grad(getattr(library.special, name)(x).sum(), x, create_graph=True)
        second, = library.autograd.grad(first[1:].sum(), x)
        grads.append((first.detach().numpy(), second.numpy()[1:]))
    for want, have in zip(*grads, strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_polynomials(name):
    x, n = np.linspace(-1.4, 1.4, 15)[:, None], np.arange(-1, 9)
    want, have = (getattr(library.special, name)(library.tensor(x), library.tensor(n)) for library in (torch, flambeau))
    assert str(have.dtype) == str(want.dtype)
    np.testing.assert_allclose(have.numpy(), want.numpy(), rtol=1e-9, atol=1e-9)
    assert getattr(flambeau.special, name)(flambeau.tensor(0.5), 3).item() == pytest.approx(
        getattr(torch.special, name)(torch.tensor(0.5), 3).item())


def test_zeta():
    s, q = np.array([0.5, 1.0, 1.5, 2.0, 7.0])[:, None], np.array([-2.0, -1.5, 0.0, 0.5, 1.0, 30.0])
    want, have = (library.special.zeta(library.tensor(s), library.tensor(q)).numpy() for library in (torch, flambeau))
    np.testing.assert_allclose(have, want, rtol=1e-12)


def test_xlog1py_and_its_gradient():
    grads = []
    for library in (torch, flambeau):
        x = library.tensor([0.0, 2.0, 3.0], requires_grad=True)
        y = library.tensor([-1.0, 0.5, -0.5], requires_grad=True)
        result = library.special.xlog1py(x, y)
        result.sum().backward()
        grads.append([each.detach().numpy() for each in (result, x.grad, y.grad)])
    for want, have in zip(*grads, strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-6)


@pytest.mark.parametrize("name, top", [("expit", "sigmoid"), ("gammaln", "lgamma"), ("psi", "digamma"), ("erf", "erf"),
                                       ("multigammaln", "mvlgamma"), ("softmax", "softmax")])
def test_second_names_are_the_same_operator(name, top):
    assert getattr(flambeau.special, name) is getattr(flambeau, top)


def test_no_name_is_invented():
    assert [name for name in dir(flambeau.special) if not hasattr(torch.special, name)] == []


def test_mvlgamma():
    for library in (torch, flambeau):
        with pytest.raises(RuntimeError):
            library.tensor([2.0]).mvlgamma(0)
    want, have = (library.tensor([2.0, 3.5]).mvlgamma(3) for library in (torch, flambeau))
    np.testing.assert_allclose(have.numpy(), want.numpy(), rtol=1e-5)


def test_polygamma_in_place_and_into_out():
    x = flambeau.tensor([1.0, 2.0])
    out = flambeau.empty(2)
    assert flambeau.polygamma(1, x, out=out) is out
    assert x.polygamma_(1) is x and x.tolist() == out.tolist()
    np.testing.assert_allclose(out.numpy(), torch.polygamma(1, torch.tensor([1.0, 2.0])).numpy(), rtol=1e-5)
