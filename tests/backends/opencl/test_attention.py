"""Attention on the OpenCL device against PyTorch: kernels that go through the keys block by block."""

import dataclasses

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

SDPA = "scaled_dot_product_attention"
SMALL = ((2, 3, 10, 8),) * 3
ODD = (2, 3, 37, 20), (2, 3, 75, 20), (2, 3, 75, 33)
SHARED = (1, 6, 75, 64), (1, 2, 75, 64), (1, 2, 75, 64)
TOLERANCE = {"float32": {"rtol": 1e-4, "atol": 1e-5}, "float64": {"rtol": 1e-11, "atol": 1e-12}}


def _drawn(shapes, kind, seed=0):
    random = np.random.default_rng(seed)
    return [random.standard_normal(shape).astype(kind) for shape in shapes]


def _mask(form, shape, kind, seed=5):
    """Of bool, or to be added; the first row of positions may attend to nothing."""
    if form is None:
        return None
    random = np.random.default_rng(seed)
    allowed = random.random(shape) > 0.4
    if shape[-2] > 1:
        allowed[..., 0, :] = False
    return allowed if form == "bool" else np.where(allowed, random.standard_normal(shape), -np.inf).astype(kind)


def _compare(device, arrays, mask=None, **options):
    """Values and gradients, and how ours were computed."""
    kind = str(arrays[0].dtype)
    theirs = [torch.from_numpy(each).requires_grad_() for each in arrays]
    ours = [flambeau.from_numpy(each).to(device).requires_grad_() for each in arrays]
    masks = [None, None] if mask is None else [torch.from_numpy(mask), flambeau.from_numpy(mask).to(device)]
    wanted = getattr(torch.nn.functional, SDPA)(*theirs, masks[0], **options)
    found = getattr(flambeau.nn.functional, SDPA)(*ours, masks[1], **options)
    np.testing.assert_allclose(found.detach().cpu().numpy(), wanted.detach().numpy(), **TOLERANCE[kind])
    g = _drawn([tuple(wanted.shape)], kind, 1)[0]
    wanted.backward(torch.from_numpy(g))
    found.backward(flambeau.from_numpy(g).to(device))
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine.grad.cpu().numpy(), other.grad.numpy(), **TOLERANCE[kind])
    return found.grad_fn.name()


FUSED = "ScaledDotProductEfficientAttentionBackward0"


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"scale": 0.5}])
@pytest.mark.parametrize("shapes", [SMALL, ODD, ((75, 20), (37, 20), (37, 7)),
                                    ((1, 2, 5, 3), (1, 2, 1, 3), (1, 2, 1, 1))])
def test_values_and_gradients(opencl, shapes, options, kind):
    assert _compare(opencl, _drawn(shapes, kind), **options) == FUSED


@pytest.mark.parametrize("form", ["bool", "added"])
@pytest.mark.parametrize("shape", [(37, 75), (1, 75), (2, 1, 37, 75), (1, 3, 1, 75), (3, 37, 1)])
def test_masks_broadcast(opencl, shape, form):
    assert _compare(opencl, _drawn(ODD, "float32"), _mask(form, shape, "float32")) == FUSED


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("form", [None, "bool", "added"])
def test_heads_that_share_keys(opencl, form, kind):
    mask = _mask(form, (1, 6, 75, 75), kind)
    assert _compare(opencl, _drawn(SHARED, kind), mask, enable_gqa=True, is_causal=form is None) == FUSED


@pytest.mark.parametrize("units", [1, 1000])
def test_heads_at_once_and_rows_apart(opencl, units, monkeypatch):
    """The gradients' two ways on a processor: with few heads for its cores it takes their rows apart."""
    from flambeau import discovery
    device = discovery.backend_for(opencl)._devices[0]
    monkeypatch.setattr(device, "traits", dataclasses.replace(device.traits, units=units))
    assert _compare(opencl, _drawn(ODD, "float32"), is_causal=True) == FUSED
    assert _compare(opencl, _drawn(SHARED, "float64"), _mask("bool", (75, 75), "float64"), enable_gqa=True) == FUSED


def test_operands_in_any_layout(opencl):
    arrays = _drawn([(2, 40, 3, 10)] * 3, "float32")
    theirs = [torch.from_numpy(each).transpose(1, 2) for each in arrays]
    ours = [flambeau.from_numpy(each).to(opencl).transpose(1, 2) for each in arrays]
    wanted = getattr(torch.nn.functional, SDPA)(*theirs, is_causal=True)
    found = getattr(flambeau.nn.functional, SDPA)(*ours, is_causal=True)
    np.testing.assert_allclose(found.cpu().numpy(), wanted.numpy(), **TOLERANCE["float32"])


@pytest.mark.parametrize("shapes", [((1, 2, 3, 200),) * 3, ((2, 2, 3, 4), (1, 2, 5, 4), (1, 2, 5, 4))])
def test_what_the_kernels_leave_to_others(opencl, shapes):
    """Wide heads, and batches that broadcast."""
    _compare(opencl, _drawn(shapes, "float32"))


def test_a_mask_that_is_learned(opencl):
    arrays, mask = _drawn(SMALL, "float32"), _drawn([(10, 10)], "float32", 3)[0]
    gradients = []
    for library, device in ((torch, "cpu"), (flambeau, opencl)):
        bias = library.from_numpy(mask).to(device).requires_grad_()
        operands = [library.from_numpy(each).to(device) for each in arrays]
        getattr(library.nn.functional, SDPA)(*operands, bias).square().sum().backward()
        gradients.append(bias.grad.cpu().numpy())
    np.testing.assert_allclose(*gradients, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"is_causal": True}])
def test_second_order(opencl, options):
    """Through the decompositions of the gradients, against PyTorch's own products."""
    arrays = _drawn(((2, 4, 3), (2, 5, 3), (2, 5, 2)), "float64")
    found = []
    for library, device in ((torch, "cpu"), (flambeau, opencl)):
        operands = [library.from_numpy(each).to(device).requires_grad_() for each in arrays]
        result = getattr(library.nn.functional, SDPA)(*operands, **options)
        first = library.autograd.grad(result.square().sum(), operands, create_graph=True)
        second = library.autograd.grad(sum(each.square().sum() for each in first), operands)
        found.append([each.cpu().numpy() for each in second])
    for wanted, ours in zip(*found, strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=1e-9, atol=1e-10)


def test_half_precision_keeps_exact_logarithms(opencl):
    arrays = _drawn(ODD, "float32")
    wide = [flambeau.from_numpy(each).to(opencl).bfloat16().float() for each in arrays]
    narrow = [each.bfloat16().requires_grad_() for each in wide]
    wide = [each.requires_grad_() for each in wide]
    results = [getattr(flambeau.nn.functional, SDPA)(*each) for each in (wide, narrow)]
    assert results[1].dtype is flambeau.bfloat16
    for each in results:
        each.sum().backward()
    for one, other in zip(wide, narrow, strict=True):
        np.testing.assert_allclose(other.grad.float().cpu().numpy(), one.grad.cpu().numpy(), rtol=1e-2, atol=1e-2)


def test_the_same_every_time(opencl):
    def gradients():
        operands = [flambeau.from_numpy(each).to(opencl).requires_grad_() for each in _drawn(ODD, "float32")]
        getattr(flambeau.nn.functional, SDPA)(*operands).sum().backward()
        return [each.grad.cpu().numpy() for each in operands]
    for one, other in zip(gradients(), gradients(), strict=True):
        np.testing.assert_array_equal(one, other)


# ---------------------------------------------------------------------------------------------- on a GPU
def _on(device, arrays, mask, is_causal):
    from flambeau_clike.kernels.attention import KERNELS
    from flambeau_clike.transfers import from_host, to_host
    grad, query, key, value = (from_host(each, device) for each in arrays)
    mask = None if mask is None else from_host(mask, device)
    result, logs = KERNELS["attention"](query, key, value, mask, is_causal, 0.25)
    gradients = KERNELS["attention_backward"](grad, query, key, value, mask, result, logs, is_causal, 0.25)
    return [to_host(each) for each in (result, logs, *gradients)]


@pytest.mark.parametrize(("kind", "shapes", "form"), [
    ("float32", ODD, None), ("float32", ODD, "causal"), ("float32", SHARED, "bool"), ("float32", SHARED, "added"),
    ("float32", ((2, 37, 100), (2, 20, 100), (2, 20, 128)), "causal"), ("float64", ODD, "causal"),
    ("float64", SHARED, "added")])
def test_groups_of_work_items(opencl, monkeypatch, kind, shapes, form):
    """What a GPU runs gives what a processor gives."""
    from flambeau import discovery
    from flambeau_opencl.device import Device
    processor = discovery.backend_for(opencl)._devices[0]
    device = Device(processor.handle, "opencl:gpu")
    device.traits = dataclasses.replace(device.traits, cpu=False, unified=False, local_memory=48 << 10)
    grad = (*shapes[0][:-1], shapes[2][-1])
    arrays = _drawn([grad, *shapes], kind)
    masked = form if form != "causal" else None
    mask = _mask(masked, (shapes[0][-2], shapes[1][-2]), kind)
    results = [_on(each, arrays, mask, form == "causal") for each in (device, processor)]
    for found, wanted in zip(*results, strict=True):
        np.testing.assert_allclose(found, wanted, **TOLERANCE[kind])


def test_groups_need_room(opencl):
    from flambeau import discovery
    from flambeau_clike.kernels.attention import KERNELS
    from flambeau_clike.transfers import from_host
    from flambeau_opencl.device import Device
    device = Device(discovery.backend_for(opencl)._devices[0].handle, "opencl:gpu")
    device.traits = dataclasses.replace(device.traits, cpu=False, unified=False, local_memory=1 << 10)
    operands = [from_host(each, device) for each in _drawn(SMALL, "float32")]
    assert KERNELS["attention"](*operands, None, False, 1.0) is NotImplemented
