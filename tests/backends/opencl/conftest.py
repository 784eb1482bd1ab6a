"""The device under test: the first OpenCL device, with PoCL where there is no GPU."""

import pytest

import flambeau


@pytest.fixture(scope="session")
def opencl() -> str:
    """The device string; skips, with the reason, where no OpenCL device is there."""
    pytest.importorskip("pyopencl", reason="pyopencl is not installed: pip install 'flambeau[opencl]'")
    from flambeau import discovery
    if not discovery.is_available("opencl"):
        pytest.skip("no OpenCL device: pip install 'pyopencl[pocl]' brings one that runs on the processor")
    return "opencl"


@pytest.fixture(autouse=True)
def _no_fallback():
    """What these tests run must not come from the host."""
    with flambeau.fallback("error"):
        yield
