"""Autocast and gradient scaling: dtypes, values, gradients and the course of the scale are PyTorch's."""

import contextlib
import pickle
import threading
import warnings

import numpy as np
import pytest

import flambeau
from flambeau import dtypes as fd
from flambeau.amp import state
from flambeau.discovery import kind_of
from flambeau.dispatch import policies
from flambeau.registry import ALIASES, OPERATORS
from flambeau_conformance import sampling

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

HALVES = ("bfloat16", "float16")
BOTH = (flambeau, torch)


def pair(*shape, seed=0, requires_grad=False):
    """The same values as a tensor of either library."""
    data = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return tuple(lib.tensor(data.tolist() if shape else float(data), dtype=lib.float32, requires_grad=requires_grad)
                 for lib in BOTH)


def name_of(dtype):
    return str(dtype).removeprefix("torch.")


def names_of(result):
    if isinstance(result, (list, tuple)):
        return tuple(names_of(each) for each in result)
    return name_of(result.dtype)


# ---------------------------------------------------------------------------------------------- the lists
# Faces of PyTorch's by the names of the operators behind them.
FACES = {"cross_entropy_loss": "cross_entropy", "grid_sampler": "grid_sample", "nll_loss2d": "nll_loss",
         **dict.fromkeys(("upsample_bicubic2d", "upsample_bilinear2d", "upsample_linear1d", "upsample_nearest1d",
                          "upsample_nearest2d", "upsample_nearest3d", "upsample_trilinear3d"), "interpolate")}
# Listed here for what PyTorch's composites come to by being made of others.
MORE = {"convolution", "matrix_exp", "linalg_matrix_exp", "max_unpool1d", "bilinear", "cat", "stack",
        "cross_entropy", "nuclear_norm", "gru", "gru_cell", "lstm_cell"}


@pytest.mark.parametrize(("key", "table"), [("AutocastCPU", policies.ON_HOST),
                                            ("AutocastCUDA", policies.ON_ACCELERATOR)])
def test_the_lists_name_what_pytorchs_do(key, table):
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    theirs = {each.removeprefix("aten::").partition(".")[0] for each in torch._C._dispatch_get_all_op_names()
              if each.startswith("aten::") and has(each, key)}
    theirs |= {FACES[each] for each in theirs & {*FACES}}
    ours = {*OPERATORS, *ALIASES}
    assert theirs & ours - {*FACES} <= {*table}
    assert set(table) - theirs <= MORE


def test_every_policy_is_one():
    known = {policies.LOWER, policies.FLOAT32, policies.WIDEST, policies.ASIS, policies.REFUSED}
    assert {*policies.ON_HOST.values(), *policies.ON_ACCELERATOR.values()} <= known


# ---------------------------------------------------------------------------------------------- result dtypes
UNLISTED = ("abs", "add", "addcmul", "addmv", "addr", "amax", "argmax", "bilinear", "chain_matmul", "clamp",
            "cosine_similarity", "cumsum", "dot", "einsum", "elu", "exp", "flatten", "gelu", "group_norm", "inner",
            "layer_norm", "linalg_multi_dot", "log", "log_softmax", "logsumexp", "masked_fill", "matrix_exp", "max",
            "mean", "mul", "mv", "norm", "outer", "pairwise_distance", "pow", "reciprocal", "relu", "rms_norm",
            "rnn_tanh_cell", "rsqrt", "sigmoid", "silu", "softmax", "softplus", "sum", "tanh", "tensordot", "var",
            "vdot", "where")
# Recurrent networks that keep float32 states: in PyTorch all is bfloat16 where the states are.
# Losses with weights, and pooling with indices, are other operators in PyTorch, unlisted; here they are float32, too.
APART = {"gru", "gru_cell", "lstm_cell", "mse_loss", "l1_loss", "max_pool3d"}


def _theirs(name):
    """PyTorch's function of that name, in a face that takes what people write."""
    for prefix, space in (("linalg_", torch.linalg), ("fft_", torch.fft)):
        if name.startswith(prefix):
            return getattr(space, name.removeprefix(prefix), None)
    return getattr(torch.nn.functional, name, None) or getattr(torch, name, None)


def _converted(tree, lib, lowered, half):
    count = [0]

    def leaf(value):
        if isinstance(value, fd.dtype):
            return getattr(lib, value.name)
        if not isinstance(value, sampling.Value):
            return value
        tensor = sampling.put(value.array, kind_of(value.dtype, "cpu")) if lib is flambeau \
            else torch.from_numpy(np.array(value.array))
        if value.dtype is fd.float32:
            count[0] += 1
            if lowered == "all" or lowered == ("first" if count[0] == 1 else "rest"):
                tensor = tensor.to(getattr(lib, half))
        return tensor
    return sampling.replaced(tree, leaf)


def _outcome(lib, function, call, lowered, half):
    args, kwargs = _converted((list(call[0]), dict(call[1])), lib, lowered, half)
    with warnings.catch_warnings(), lib.autocast("cpu", getattr(lib, half)):
        warnings.simplefilter("ignore")
        return names_of(function(*args, **kwargs))


def test_result_dtypes_are_pytorchs():
    compared, different = set(), []
    for name in sorted({*policies.ON_HOST, *UNLISTED} & {*OPERATORS}):
        record, theirs = OPERATORS[name], _theirs(name)
        if theirs is None or record.internal:
            continue
        for call in sampling.calls(record, fd.float32, 0, frozenset(fd.ALL))[:3]:
            for lowered in ("none", "all", "first", "rest")[:4 if name in policies.ON_HOST else 2]:
                try:
                    expected = _outcome(torch, theirs, call, lowered, "bfloat16")
                except (RuntimeError, TypeError, NotImplementedError, ValueError):
                    continue  # no kernel for bfloat16, or a mixture that PyTorch refuses
                found = _outcome(flambeau, record.public, call, lowered, "bfloat16")
                compared.add(name)
                if found != expected and not (name in APART and lowered != "none"):
                    different.append((name, lowered, found, expected))
    assert not different
    assert len(compared) > 90


@pytest.mark.parametrize("half", HALVES)
def test_products_and_losses_have_the_dtypes_and_values_of_pytorchs(half):
    seen = []
    for lib in BOTH:
        x, w, b, image, kernel = (pair(*shape, seed=seed)[lib is torch] for seed, shape in enumerate(
            ((4, 6), (5, 6), (5,), (2, 3, 8, 8), (4, 3, 3, 3))))
        functional = lib.nn.functional
        with lib.autocast("cpu", getattr(lib, half)):
            linear = functional.linear(x, w, b)
            results = [linear, x @ w.t(), functional.conv2d(image, kernel), linear.relu(), lib.cat([linear, b[None]]),
                       functional.mse_loss(linear, x[:, :5]), linear + b, lib.einsum("ij,kj->ik", x, w),
                       functional.softmax(linear, -1), functional.layer_norm(linear, (5,), b, b), linear ** 2,
                       functional.cross_entropy(linear, lib.tensor([0, 1, 2, 3])), x.double() * 2]
        seen.append(results)
    for index, (ours, theirs) in enumerate(zip(*seen, strict=True)):
        assert name_of(ours.dtype) == name_of(theirs.dtype), index
        np.testing.assert_allclose(ours.float().numpy(), theirs.float().numpy(), rtol=2e-2, atol=3e-2)


def test_what_is_written_to_keeps_its_dtype():
    x = pair(3, 3)[0]
    with flambeau.autocast("cpu"):
        out = flambeau.mm(x, x, out=flambeau.empty(3, 3))
        y = flambeau.zeros(3, 3).addmm_(x, x)
        z = x.bfloat16()
        z.prod(0, dtype=flambeau.bfloat16)
    assert (out.dtype, y.dtype) == (flambeau.float32, flambeau.float32)
    assert flambeau.equal(out, x @ x)


def test_a_dtype_that_is_asked_for_is_given():
    with flambeau.autocast("reference"):
        x = flambeau.ones(3, device="reference", dtype=flambeau.float16)
        assert x.sum().dtype is flambeau.float32
        assert x.sum(dtype=flambeau.float16).dtype is flambeau.float16
        assert x.softmax(0, dtype=flambeau.float64).dtype is flambeau.float64


def test_widest_refuses_a_third_dtype():
    for lib in BOTH:
        with lib.autocast("cpu"), pytest.raises(RuntimeError, match="Unexpected floating ScalarType"):
            lib.cat([lib.ones(1, dtype=lib.float16), lib.ones(1, dtype=lib.bfloat16)])


# ---------------------------------------------------------------------------------------------- accelerators
ACCELERATED = {
    "float16": ("x @ x", "x.mm(x)", "x.mv(x[0])", "torch.einsum('ij,jk->ik', x, x)", "F.linear(x, x)",
                "torch.addmm(x, x, x)", "low.relu()", "low + low", "torch.linalg.multi_dot([x, x, x])",
                "torch.chain_matmul(x, x)", "torch.addr(x, x[0], x[0])", "F.prelu(x, x[0, :1])",
                "torch.cat([low, low])",
                "F.scaled_dot_product_attention(x[None], x[None], x[None])", "low.mean()", "F.dropout(low, 0.5)",
                "F.conv1d(x[None], x[None])", "torch.dot(low[0], low[0])", "torch.vdot(low[0], low[0])"),
    "float32": ("low.exp()", "low.log()", "low.sum()", "low.prod()", "low.cumsum(0)", "low.softmax(0)", "low ** 2",
                "2 ** low", "low.pow(2)", "low.norm()", "F.layer_norm(low, (3,))", "F.group_norm(low[None], 3)",
                "low.rsqrt()", "low.reciprocal()", "F.softplus(low)", "F.mse_loss(low, low)", "low.log_softmax(0)",
                "F.cross_entropy(low, torch.tensor([0, 1, 2], device=low.device))", "F.cosine_similarity(low, low)",
                "F.binary_cross_entropy_with_logits(low, low)", "F.nll_loss(low, torch.tensor([0, 1, 2], "
                "device=low.device))", "torch.logsumexp(low, 0)", "torch.cat([low, x])", "torch.stack([x, low])",
                "torch.addcmul(low, low, x)", "torch.atan2(low, x)", "torch.dot(low[0], x[0])", "torch.cdist(low, low)",
                "x + x", "x.tanh()", "F.normalize(low)", "F.kl_div(low, low, reduction='sum')", "low.sinh()",
                "torch.cross(low, x)", "low.renorm(2, 0, 1.0)", "torch.dist(low, low)", "F.rms_norm(low, (3,))"),
}


@pytest.mark.parametrize("device", ["reference", "reference_single"])
def test_an_accelerator_has_its_own_lists(device):
    x = (flambeau.rand(3, 3) + 0.5).to(device)
    space = {"torch": flambeau, "F": flambeau.nn.functional, "x": x, "low": x.half()}
    for expected, expressions in ACCELERATED.items():
        with flambeau.autocast(device):
            found = {each: name_of(eval(each, space).dtype) for each in expressions}
        assert found == dict.fromkeys(expressions, expected)


def test_an_accelerator_refuses_what_overflows():
    x = flambeau.full((3,), 0.5, device="reference")
    with flambeau.autocast("reference"), pytest.raises(RuntimeError, match="unsafe to autocast"):
        flambeau.nn.functional.binary_cross_entropy(x, x)
    with flambeau.autocast("cpu"):   # of another device
        assert flambeau.nn.functional.binary_cross_entropy(x, x).dtype is flambeau.float32


def test_other_devices_are_left_alone():
    x = flambeau.ones(2, 2, device="reference")
    with flambeau.autocast("cpu"):
        assert (x @ x).dtype is flambeau.float32
        assert (x.cpu() @ x.cpu()).dtype is flambeau.bfloat16
        with flambeau.autocast("reference", flambeau.float16):
            assert (x @ x).dtype is flambeau.float16
            assert (x.cpu() @ x.cpu()).dtype is flambeau.bfloat16


def test_an_operator_of_ones_own_gets_a_policy():
    policies.set_policy("doubled_for_amp", host=policies.FLOAT32, accelerator=policies.LOWER)
    try:
        @flambeau.dispatch.composite()
        def doubled_for_amp(input: flambeau.Tensor) -> flambeau.Tensor:
            """Twice the input.

            >>> import flambeau as torch
            """
            return input * 2
        low = flambeau.ones(2, dtype=flambeau.bfloat16)
        with flambeau.autocast("cpu"):
            assert doubled_for_amp(low).dtype is flambeau.float32
        assert doubled_for_amp(low).dtype is flambeau.bfloat16
    finally:
        flambeau.registry.withdraw([OPERATORS["doubled_for_amp"]])
        policies.set_policy("doubled_for_amp", host=None, accelerator=None)


# ---------------------------------------------------------------------------------------------- blocks
def test_blocks_nest_and_are_left():
    for lib in BOTH:
        x, seen = lib.ones(2, 2), []

        def look(lib=lib, x=x, seen=seen):
            seen.append((lib.is_autocast_enabled("cpu"), name_of(lib.get_autocast_dtype("cpu")),
                         lib.is_autocast_cache_enabled(), name_of((x @ x).dtype)))
        with lib.autocast("cpu"):
            look()
            with lib.autocast("cpu", enabled=False):
                look()
                with lib.autocast("cpu", lib.float16, cache_enabled=False):
                    look()
                look()
            look()
            with contextlib.suppress(ZeroDivisionError), lib.autocast("cpu", lib.float16):
                look()
                raise ZeroDivisionError
            look()
        look()
        if lib is flambeau:
            expected = seen
    assert expected == seen
    assert not flambeau.dispatch.modes.ACTIVE


def test_one_object_may_be_entered_again():
    for lib in BOTH:
        context, x = lib.autocast("cpu"), lib.ones(1, 1)
        for _ in range(2):
            with context:
                assert (x @ x).dtype is lib.bfloat16
            assert (x @ x).dtype is lib.float32
    context, x = flambeau.autocast("cpu"), flambeau.ones(1, 1)
    with context, context:   # PyTorch leaves autocast on after this
        assert (x @ x).dtype is flambeau.bfloat16
    assert (x @ x).dtype is flambeau.float32


def test_as_a_decorator():
    for lib in BOTH:
        @lib.autocast("cpu", dtype=lib.float16)
        def product(x):
            """Documented."""
            return x @ x
        assert product(lib.ones(1, 1)).dtype is lib.float16
        assert (product.__name__, product.__doc__) == ("product", "Documented.")
        with pytest.raises(TypeError, match=r"autocast\(\)\(func\) requires a callable, but got int"):
            lib.autocast("cpu")(3)


def test_the_switches_by_hand():
    for lib in BOTH:
        x = lib.ones(1, 1, requires_grad=lib is flambeau)   # PyTorch would give the kept cast of the other dtype
        lib.set_autocast_enabled("cpu", True)
        try:
            assert (x @ x).dtype is lib.bfloat16
            lib.set_autocast_dtype("cpu", lib.float16)
            assert (x @ x).dtype is lib.float16
        finally:
            lib.set_autocast_dtype("cpu", lib.bfloat16)
            lib.set_autocast_enabled("cpu", False)
        assert (x @ x).dtype is lib.float32
        assert not state._state.cache._casts
        assert not lib.is_autocast_enabled()
        assert name_of(lib.get_autocast_dtype("cuda")) == "float16"
        assert lib.is_autocast_cache_enabled()
        assert (lib.autocast_increment_nesting(), lib.autocast_decrement_nesting()) == (1, 0)
    assert not flambeau.dispatch.modes.ACTIVE


def test_the_older_switches_say_that_they_are():
    for lib in BOTH:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert not lib.is_autocast_cpu_enabled()
            lib.set_autocast_cpu_enabled(False)
            assert lib.get_autocast_cpu_dtype() is lib.bfloat16
            assert lib.get_autocast_gpu_dtype() is lib.float16
            lib.set_autocast_cpu_dtype(lib.bfloat16)
            lib.set_autocast_gpu_dtype(lib.float16)
        if lib is flambeau:
            assert [each.category for each in caught] == [DeprecationWarning] * 6


def test_what_is_asked_for_wrongly():
    for lib in BOTH:
        with pytest.raises(ValueError, match="Expected `device_type` of type `str`, got"):
            lib.autocast(3)
        with pytest.raises(RuntimeError):
            lib.autocast("abacus")
        with pytest.warns(UserWarning, match="In CPU autocast, but the target dtype is not supported"):
            context = lib.autocast("cpu", lib.float32)
        with context:
            assert not lib.is_autocast_enabled("cpu")
        with pytest.raises(TypeError):
            lib.is_autocast_enabled(3)
    with pytest.warns(UserWarning, match="REFERENCE_SMALL autocast, but the target dtype is not supported"):
        flambeau.autocast("reference_small")
    with pytest.warns(UserWarning, match="XPU is not available. Disabling"):
        flambeau.autocast("xpu")
    assert flambeau.autocast("cpu:0").device == "cpu"
    assert not flambeau.amp.is_autocast_available("abacus")
    assert flambeau.amp.is_autocast_available("reference")


def test_a_thread_has_its_own():
    found = []
    with flambeau.autocast("cpu"):
        thread = threading.Thread(target=lambda: found.append((flambeau.ones(1, 1) @ flambeau.ones(1, 1)).dtype))
        thread.start()
        thread.join()
    assert found == [flambeau.float32]


def test_other_modes_go_with_it():
    x = flambeau.ones(2, 2)
    with flambeau.inference_mode(), flambeau.autocast("cpu"):
        y = flambeau.nn.functional.linear(x, x)
        assert y.dtype is flambeau.bfloat16
        assert y.is_inference()
    with flambeau.autocast("cpu"), flambeau.inference_mode():
        y = flambeau.linalg.multi_dot([x, x, x])
        assert y.dtype is flambeau.bfloat16
        assert y.is_inference()


# ---------------------------------------------------------------------------------------------- gradients
def test_gradients_come_back_in_the_parameters_dtype():
    grads = []
    for lib in BOTH:
        w, x = (pair(4, 4, seed=seed, requires_grad=True)[lib is torch] for seed in (1, 2))
        with lib.autocast("cpu"):
            y = x @ w
            z = (y.relu() @ w).sum()
        z.backward()
        assert name_of(w.grad.dtype) == name_of(x.grad.dtype) == "float32"
        grads.append((w.grad.numpy(), x.grad.numpy()))
    for ours, theirs in zip(*grads, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-2, atol=6e-2)


def test_backward_may_run_in_the_block():
    grads = []
    for lib in BOTH:
        w, x = (pair(4, 4, seed=seed, requires_grad=True)[lib is torch] for seed in (1, 2))
        with lib.autocast("cpu"):
            lib.nn.functional.softmax((x @ w).exp().log(), 1).pow(2).sum().backward()
        assert name_of(w.grad.dtype) == "float32"
        grads.append(w.grad.numpy())
    np.testing.assert_allclose(*grads, rtol=5e-2, atol=2e-2)


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_recurrent_layers_run_and_learn(device):
    for layer in (flambeau.nn.LSTM, flambeau.nn.GRU, flambeau.nn.RNN):
        model, x = layer(3, 4, num_layers=2).to(device), flambeau.randn(5, 2, 3, device=device)
        with flambeau.autocast(device, flambeau.bfloat16):
            out, _ = model(x)
            out.float().sum().backward()
        assert (out.dtype is flambeau.bfloat16) == (device != "cpu" or layer is not flambeau.nn.GRU)
        assert {each.grad.dtype for each in model.parameters()} == {flambeau.float32}


def _cast_nodes(lib, cache):
    w, x = lib.ones(2, 2, requires_grad=True), lib.ones(2, 2)
    with lib.autocast("cpu", cache_enabled=cache):
        one, two = x @ w, x @ w
    return one.grad_fn.next_functions[1][0], two.grad_fn.next_functions[1][0]


def test_a_parameter_is_cast_once():
    for lib in BOTH:
        one, two = _cast_nodes(lib, True)
        assert one is two
        one, two = _cast_nodes(lib, False)
        assert one is not two


def test_the_cache_is_dropped_at_the_end_and_on_demand():
    w, x = flambeau.ones(1, 1, requires_grad=True), flambeau.ones(1, 1)
    with flambeau.autocast("cpu"):
        with flambeau.autocast("cpu"):
            one = (x @ w).grad_fn.next_functions[1][0]
        assert (x @ w).grad_fn.next_functions[1][0] is one
        flambeau.clear_autocast_cache()
        assert (x @ w).grad_fn.next_functions[1][0] is not one
    assert not state._state.cache._casts


def test_a_stale_cast_is_not_used():
    w, x = flambeau.ones(1, 1, requires_grad=True), flambeau.ones(1, 1)
    with flambeau.autocast("cpu"):
        with flambeau.no_grad():
            assert (x @ w).item() == 1          # cast without recording
        (x @ w).backward()
        assert w.grad.item() == 1
        with flambeau.no_grad():
            w.add_(1)
        assert (x @ w).item() == 2
        w.data = flambeau.full((1, 1), 5.)
        assert (x @ w).item() == 5


def test_functions_of_ones_own():
    for lib in BOTH:
        seen = []

        class Product(lib.autograd.Function):
            @staticmethod
            @lib.amp.custom_fwd(device_type="cpu")
            def forward(ctx, a, b, seen=seen):
                ctx.save_for_backward(a, b)
                result = a @ b
                seen.append(("as it is", name_of(result.dtype)))
                return result

            @staticmethod
            @lib.amp.custom_bwd(device_type="cpu")
            def backward(ctx, grad, lib=lib, seen=seen):
                a, b = ctx.saved_tensors
                seen.append(("backward", lib.is_autocast_enabled("cpu"), name_of((grad @ b.t()).dtype)))
                return grad @ b.t(), a.t() @ grad

        class Full(Product):
            @staticmethod
            @lib.amp.custom_fwd(device_type="cpu", cast_inputs=lib.float32)
            def forward(ctx, a, b, lib=lib, seen=seen):
                ctx.save_for_backward(a, b)
                seen.append(("cast", name_of(a.dtype), name_of(b.dtype), lib.is_autocast_enabled("cpu")))
                return a @ b

        for function in (Product, Full):
            a, b = lib.ones(2, 2, requires_grad=True), lib.ones(2, 2, dtype=lib.bfloat16)
            with lib.autocast("cpu"):
                y = function.apply(a, b)
            y.sum().backward()
            seen.append((name_of(y.dtype), name_of(a.grad.dtype)))
            with contextlib.suppress(RuntimeError):
                function.apply(a, b)   # outside: nothing is cast, and the product refuses
        with pytest.raises(ValueError, match="Expected `device_type` of type `str`"):
            lib.amp.custom_fwd(device_type=0)
        if lib is flambeau:
            expected = seen
    assert expected == seen


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_checkpoint_runs_again_as_it_ran(reentrant):
    from flambeau.utils.checkpoint import checkpoint
    grads = []
    for wrapped in (False, True):
        w, x = pair(3, 3, requires_grad=True)[0], pair(3, 3, seed=4, requires_grad=True)[0]
        seen = []

        def run(t, w=w, seen=seen):
            y = t @ w
            seen.append(y.dtype)
            return y.relu() @ w
        with flambeau.autocast("cpu"):
            y = checkpoint(run, x, use_reentrant=reentrant) if wrapped else run(x)
        y.float().sum().backward()
        grads.append(w.grad)
        assert set(seen) == {flambeau.bfloat16}
    assert len(seen) == 2
    assert flambeau.equal(*grads)


# ---------------------------------------------------------------------------------------------- older forms
def test_the_forms_of_earlier_versions():
    import flambeau.cpu.amp
    import flambeau.cuda.amp
    for lib in BOTH:
        x = lib.ones(1, 1)
        with pytest.warns(FutureWarning, match=r"torch.cpu.amp.autocast\(args...\)` is deprecated"):
            context = lib.cpu.amp.autocast()
        with context:
            assert (x @ x).dtype is lib.bfloat16
        with pytest.warns(FutureWarning, match=r"use `torch.amp.GradScaler\('cpu', args...\)` instead"):
            scaler = lib.cpu.amp.GradScaler(4.)
        assert scaler.get_scale() == 4
        assert isinstance(scaler, lib.amp.GradScaler)
        assert pickle.loads(pickle.dumps(scaler)).get_scale() == 4
        with pytest.warns(FutureWarning, match=r"torch.cuda.amp.custom_fwd\(args...\)` is deprecated"):
            assert lib.cuda.amp.custom_fwd(lambda ctx, x: x) is not None
        with pytest.warns(FutureWarning, match=r"torch.cuda.amp.custom_bwd\(args...\)` is deprecated"):
            assert lib.cuda.amp.custom_bwd(lambda ctx, g: g) is not None
        assert lib.cuda.amp.amp_definitely_not_available() == (not lib.cuda.is_available())
    assert "amp" in dir(flambeau.cuda)
    assert set(flambeau.amp.__all__) == set(torch.amp.__all__)
    assert set(flambeau.cuda.amp.__all__) == set(torch.cuda.amp.__all__)


def test_without_the_device_a_program_runs_on_without():
    if flambeau.cuda.is_available():
        pytest.skip("there is such a device here")
    for lib in BOTH:
        with pytest.warns(FutureWarning), pytest.warns(UserWarning, match="not available"):
            context = lib.cuda.amp.autocast()
        with context:
            assert not lib.is_autocast_enabled()
        with pytest.warns(UserWarning, match="GradScaler is enabled, but CUDA is not available"):
            scaler = lib.amp.GradScaler()
        assert not scaler.is_enabled()
        assert scaler.scale(3) == 3
        assert scaler.get_scale() == 1
        assert scaler.state_dict() == {}
