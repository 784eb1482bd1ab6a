"""Window functions, compared with PyTorch."""

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

WINDOWS = [("bartlett", {}), ("blackman", {}), ("cosine", {}), ("exponential", {"tau": 2.5}),
           ("gaussian", {"std": 1.5}),
           ("general_cosine", {"a": [0.4, 0.5, 0.1]}), ("general_hamming", {"alpha": 0.6}), ("hamming", {}),
           ("hann", {}), ("kaiser", {"beta": 8.0}), ("nuttall", {})]
OLDER = [("bartlett_window", {}), ("blackman_window", {}), ("hamming_window", {"alpha": 0.5, "beta": 0.4}),
         ("hann_window", {}), ("kaiser_window", {"beta": 3.0})]


@pytest.mark.parametrize("sym", [True, False])
@pytest.mark.parametrize("name, options", WINDOWS)
def test_windows(name, options, sym):
    for size in (0, 1, 2, 5, 8):
        for dtype in ("float32", "float64"):
            want, have = (getattr(library.signal.windows, name)(
                size, sym=sym, dtype=getattr(library, dtype), **options) for library in (torch, flambeau))
            assert str(have.dtype) == str(want.dtype) and have.shape == want.shape
            np.testing.assert_allclose(have.numpy(), want.numpy(), atol=1e-6 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("name, options", OLDER)
def test_older_names(name, options, periodic):
    for size in (0, 1, 2, 7):
        want, have = (getattr(library, name)(size, periodic, dtype=library.float64, **options)
                      for library in (torch, flambeau))
        np.testing.assert_allclose(have.numpy(), want.numpy(), atol=1e-12)
        assert getattr(flambeau, name)(size).dtype is flambeau.float32


@pytest.mark.parametrize("call", [
    lambda torch: torch.signal.windows.hann(-1),
    lambda torch: torch.signal.windows.hann(3, dtype=torch.int64),
    lambda torch: torch.signal.windows.hann(3, layout=torch.sparse_coo),
    lambda torch: torch.signal.windows.exponential(3, tau=-1),
    lambda torch: torch.signal.windows.exponential(3, center=1),
    lambda torch: torch.signal.windows.gaussian(3, std=0),
    lambda torch: torch.signal.windows.kaiser(3, beta=-1),
    lambda torch: torch.signal.windows.general_cosine(3, a=[]),
])
def test_refusals(call):
    for library in (torch, flambeau):
        with pytest.raises(ValueError):
            call(library)


def test_the_exponential_may_be_off_centre():
    want, have = (library.signal.windows.exponential(6, center=1.0, tau=2.0, sym=False)
                  for library in (torch, flambeau))
    np.testing.assert_allclose(have.numpy(), want.numpy(), rtol=1e-5)
