"""The graph and the walk, compared with PyTorch: one function runs on both libraries, and must give the same values,
the same flags, or an error of the same type with the same key phrase."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest

import flambeau
from flambeau import autograd

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")


def plain(value):
    """Values without the library they came from."""
    if isinstance(value, (flambeau.Tensor, torch.Tensor)):
        return value.detach().cpu().numpy().copy()
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value


def same(mine, theirs):
    if isinstance(theirs, np.ndarray):
        assert isinstance(mine, np.ndarray)
        assert mine.dtype == theirs.dtype
        np.testing.assert_allclose(mine, theirs, rtol=5e-6, atol=1e-6)
    elif isinstance(theirs, list):
        assert len(mine) == len(theirs)
        for a, b in zip(mine, theirs, strict=True):
            same(a, b)
    else:
        assert mine == theirs


def both(function):
    same(plain(function(flambeau)), plain(function(torch)))


def refused(function, phrase, kind=RuntimeError):
    """Both libraries raise an error of this kind that contains the phrase."""
    for library in (torch, flambeau):
        with pytest.raises(kind, match=phrase):
            function(library)


def leaf(library, *values):
    return library.tensor(list(values), requires_grad=True)


# ---------------------------------------------------------------------------------------------- leaves and flags
def test_flags_of_leaves_and_results():
    def run(t):
        x, y = leaf(t, 1.0, 2.0), t.tensor([3.0, 4.0])
        z = x * y
        return [x.is_leaf, y.is_leaf, z.is_leaf, x.requires_grad, y.requires_grad, z.requires_grad,
                x.grad_fn is None, z.grad_fn.name(), z.grad_fn.next_functions[0][0].name(),
                z.grad_fn.next_functions[1][0] is None, z.detach().requires_grad, z.detach().is_leaf,
                (x > 1).requires_grad, x.data.requires_grad]
    both(run)


def test_gradients_accumulate_and_are_cleared():
    def run(t):
        x = leaf(t, 2.0)
        (x * x).sum().backward()
        first = x.grad.clone()
        (x * x * x).sum().backward()
        second = x.grad.clone()
        x.grad = None
        (x * 3).sum().backward()
        return first, second, x.grad
    both(run)


def test_leaves_of_integers_are_refused():
    refused(lambda t: t.tensor([1, 2]).requires_grad_(), "floating point")


def test_flag_of_a_result_cannot_be_cleared():
    def run(t):
        y = leaf(t, 1.0) * 2
        y.requires_grad = False
    refused(run, "leaf variables")


def test_backward_needs_a_scalar_or_a_gradient():
    refused(lambda t: (leaf(t, 1.0, 2.0) * 2).backward(), "implicitly created only for scalar outputs")
    refused(lambda t: t.ones(1).backward(), "does not require grad")
    refused(lambda t: (leaf(t, 1.0, 2.0) * 2).backward(t.ones(3)), "Mismatch in shape")


def test_second_backward_needs_retained_graph():
    def run(t):
        x = leaf(t, 2.0)
        y = (x * x).sum()
        y.backward()
        y.backward()
    refused(run, "second time")

    def retained(t):
        x = leaf(t, 2.0)
        y = (x * x).sum()
        y.backward(retain_graph=True)
        y.backward()
        return x.grad
    both(retained)


def test_a_node_that_saved_nothing_runs_again():
    def run(t):
        x = leaf(t, 2.0)
        y = (x + 1).sum()
        y.backward()
        y.backward()
        return x.grad
    both(run)


def test_backward_with_inputs():
    def run(t):
        x, w = leaf(t, 2.0), leaf(t, 3.0)
        y = x * w
        y.sum().backward(inputs=[w])
        return x.grad is None, w.grad
    both(run)


def test_gradient_is_not_shared_between_leaves():
    def run(t):
        x, y = leaf(t, 1.0, 2.0), leaf(t, 3.0, 4.0)
        seed = t.ones(2)
        (x + y).backward(seed)
        x.grad.add_(5)
        return x.grad, y.grad, seed
    both(run)


# ---------------------------------------------------------------------------------------------- autograd.grad
def test_grad_function():
    def run(t):
        x, y = leaf(t, 1.0, 2.0), leaf(t, 3.0, 4.0)
        gx, gy = t.autograd.grad((x * y).sum(), (x, y))
        return gx, gy, x.grad is None
    both(run)


def test_grad_of_unused_input():
    def run(t, **options):
        x, y = leaf(t, 1.0), leaf(t, 2.0)
        return t.autograd.grad((x * 2).sum(), (x, y), **options)
    refused(run, "not have been used in the graph")
    both(lambda t: [None if g is None else g for g in run(t, allow_unused=True)])
    both(lambda t: run(t, materialize_grads=True))


def test_grad_of_an_intermediate_and_of_the_output_itself():
    def run(t):
        x = leaf(t, 1.0, 2.0)
        y = x * x
        z = (y * y).sum()
        return t.autograd.grad(z, [y, x, z], retain_graph=True), t.autograd.grad(z, y)
    both(run)


def test_third_derivative():
    def run(t):
        x = leaf(t, 1.5, -0.5)
        found = []
        y = (x ** 4).sum()
        for _ in range(3):
            y, = t.autograd.grad(y.sum(), x, create_graph=True)
            found.append(y)
        return found
    both(run)


def test_backward_with_create_graph_differentiates_the_gradient():
    def run(t):
        x = leaf(t, 1.5, -0.5)
        with pytest.warns(UserWarning, match="create_graph=True"):
            (x ** 3).sum().backward(create_graph=True)
        first = x.grad
        x.grad = None
        first.sum().backward()
        return first, x.grad
    both(run)


# ---------------------------------------------------------------------------------------------- versions, in place
def test_changed_saved_tensor_is_noticed():
    def saved_input(t):
        x, w = leaf(t, 1.0, 2.0), t.tensor([3.0, 4.0])
        y = x * w
        w.add_(1)
        y.sum().backward()
    refused(saved_input, "modified by an inplace operation")

    def saved_output(t):
        y = leaf(t, 1.0, 2.0).exp()
        y.mul_(2)
        y.sum().backward()
    refused(saved_output, "modified by an inplace operation")

    def saved_result_of_an_in_place_call(t):
        (leaf(t, 1.0, 2.0) * 1).tanh_().add_(1).sum().backward()
    refused(saved_result_of_an_in_place_call, "modified by an inplace operation")

    def through_a_view(t):
        x, w = leaf(t, 1.0, 2.0), t.tensor([3.0, 4.0])
        view = w[0:1]
        y = x * w
        view.zero_()
        y.sum().backward()
    refused(through_a_view, "modified by an inplace operation")

    def through_detach(t):
        x, w = leaf(t, 1.0, 2.0), t.tensor([3.0, 4.0])
        y = x * w
        w.detach().zero_()
        y.sum().backward()
    refused(through_detach, "modified by an inplace operation")


def test_changes_through_data_are_not_noticed():
    def run(t):
        x, w = leaf(t, 1.0, 2.0), t.tensor([3.0, 4.0])
        y = x * w
        w.data.zero_()
        y.sum().backward()
        return x.grad
    both(run)


def test_versions_count():
    def run(t):
        x = t.zeros(3)
        view, cut, data = x[:2], x.detach(), x.data
        x.add_(1)
        view.mul_(2)
        x[0] = 5
        data.add_(1)
        return [each._version for each in (x, view, cut, data)]
    both(run)


def test_in_place_on_leaves_is_refused():
    refused(lambda t: leaf(t, 1.0).add_(1), "leaf Variable that requires grad")
    refused(lambda t: leaf(t, 1.0, 2.0)[0:1].add_(1), "view of a leaf Variable")

    def allowed(t):
        x = leaf(t, 1.0, 2.0)
        with t.no_grad():
            x.add_(1)
            x[0] = 7
        return x, x.is_leaf, x.requires_grad
    both(allowed)


IN_PLACE = {
    "add": lambda t, x, w: x.add_(w),
    "mul by itself twice": lambda t, x, w: x.mul_(2).mul_(w),
    "exp saves its result": lambda t, x, w: x.exp_(),
    "view changed": lambda t, x, w: x[1:].mul_(w[1:]),
    "row filled": lambda t, x, w: x[0].fill_(3.0),
    "item assigned": lambda t, x, w: x.__setitem__(1, w[0] * 2),
    "column assigned": lambda t, x, w: x.__setitem__((slice(None), 0), w[:, 1]),
    "mask assigned": lambda t, x, w: x.__setitem__(x.detach() > 0, 0.5),
    "transpose changed": lambda t, x, w: x.t().mul_(w.t()),
    "view of a view": lambda t, x, w: x[1:][0, :2].mul_(w[0, :2]),
    "viewed and added": lambda t, x, w: x.view(-1).add_(w.reshape(-1)),
    "copied": lambda t, x, w: x.copy_(w),
    "slice copied": lambda t, x, w: x[:, 1:].copy_(w[:, :2]),
    "zeroed": lambda t, x, w: x.zero_(),
    "unsqueezed view": lambda t, x, w: x.unsqueeze(0).squeeze(0).mul_(w),
    "chained operators": lambda t, x, w: (x[0].mul_(w[0]), x.add_(1), x[1].sub_(w[1])),
}


@pytest.mark.parametrize("name", IN_PLACE)
@pytest.mark.parametrize("base_needs", [True, False])
def test_in_place_carries_gradients(name, base_needs):
    def run(t):
        start = t.tensor([[1.0, -2.0, 3.0], [0.5, 1.5, -1.0]], requires_grad=base_needs)
        w = t.tensor([[0.3, 2.0, -1.0], [1.0, 0.7, 0.2]], requires_grad=True)
        x = start.clone() if base_needs else start
        before = x.view(3, 2)          # a view made earlier sees the change, too
        IN_PLACE[name](t, x, w)
        out = (x * x).sum() + (before * 3).sum()
        grads = t.autograd.grad(out, [w, start] if base_needs else [w], allow_unused=True) if out.requires_grad else []
        return [x, before, [0 if g is None else g for g in grads], x.requires_grad, before.requires_grad,
                x.grad_fn is None]
    both(run)


def test_base_that_comes_to_need_a_gradient_reaches_its_older_views():
    def run(t):
        x = t.zeros(4)
        view = x[1:3]
        w = leaf(t, 1.0, 2.0, 3.0, 4.0)
        x.add_(w)
        (view * view).sum().backward()
        return view, view.requires_grad, w.grad
    both(run)


def test_view_gets_a_new_grad_fn_after_its_base_changed():
    def run(t):
        x = leaf(t, 1.0, 2.0) * 1
        view = x.view(2, 1)
        names = [view.grad_fn.name()]
        x.mul_(2)
        names.append(x.grad_fn.name())
        view.sum().backward()
        return names
    both(run)


def test_views_of_several_cannot_be_changed():
    def run(t):
        a, _ = (leaf(t, 1.0, 2.0) * 1).unbind(0)
        a.mul_(2)
        a.backward()
    refused(run, "view and is being modified inplace")


def test_overlapping_memory_is_refused():
    refused(lambda t: t.zeros(1, 3).expand(2, 3).add_(t.ones(2, 3)), "single memory location")


# ---------------------------------------------------------------------------------------------- switches
def test_switches():
    def run(t):
        x = leaf(t, 1.0)
        found = [t.is_grad_enabled()]
        with t.no_grad():
            found += [(x * 2).requires_grad, t.is_grad_enabled()]
            with t.enable_grad():
                found.append((x * 2).requires_grad)
            with t.set_grad_enabled(True):
                found.append((x * 2).requires_grad)
        with t.set_grad_enabled(False):
            found.append((x * 2).requires_grad)
        t.set_grad_enabled(False)
        found.append((x * 2).requires_grad)
        t.set_grad_enabled(True)

        @t.no_grad()
        def inside(value):
            return (value * 2).requires_grad

        @t.no_grad
        def bare(value):
            return (value * 2).requires_grad

        @t.set_grad_enabled(False)
        def switched(value):
            return (value * 2).requires_grad

        @t.no_grad()
        def generator():
            yield t.is_grad_enabled()
            yield t.is_grad_enabled()
        found += [inside(x), bare(x), switched(x), t.is_grad_enabled(), inside.__name__]
        for each in generator():
            found += [each, t.is_grad_enabled()]
        return found
    both(run)


def test_switch_is_restored_after_an_error():
    for library in (flambeau, torch):
        with pytest.raises(ZeroDivisionError), library.no_grad():
            1 / 0
        assert library.is_grad_enabled()


def test_inference_mode():
    def run(t):
        x = leaf(t, 1.0, 2.0)
        with t.inference_mode():
            y = x * 2
            found = [t.is_inference_mode_enabled(), y.is_inference(), y.requires_grad, x.is_inference()]
        return [*found, t.is_inference_mode_enabled(), (x * 2).is_inference(), y.is_inference()]
    both(run)


def test_inference_tensors_cannot_be_changed_outside():
    def run(t):
        with t.inference_mode():
            x = t.ones(2) * 2
            x.add_(1)
        x.add_(1)
    refused(run, "Inplace update to inference tensor")


def test_switch_is_per_thread():
    seen = []
    with flambeau.no_grad():
        thread = threading.Thread(target=lambda: seen.append(flambeau.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


# ---------------------------------------------------------------------------------------------- hooks
def test_tensor_hooks():
    def run(t):
        x = leaf(t, 1.0, 2.0)
        y = x * 3
        seen = []
        handle = y.register_hook(lambda g: seen.append(g.clone()) or g * 10)
        x.register_hook(lambda g: g + 1)
        y.sum().backward()
        first = x.grad.clone()
        handle.remove()
        x.grad = None
        (x * 3).sum().backward()
        return seen, first, x.grad
    both(run)


def test_hook_that_changes_the_size_is_refused():
    def run(t):
        y = leaf(t, 1.0, 2.0) * 3
        y.register_hook(lambda g: g[:1])
        y.sum().backward()
    refused(run, "changed the size")


def test_retained_gradients():
    def run(t):
        x = leaf(t, 1.0, 2.0)
        y = x * 3
        y.retain_grad()
        (y * y).sum().backward()
        return y.grad, y.retains_grad, x.retains_grad
    both(run)


def test_post_accumulate_hooks():
    def run(t):
        x = leaf(t, 1.0, 2.0)
        seen = []
        x.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.clone()))
        (x * 3).sum().backward()
        (x * 3).sum().backward()
        return seen
    both(run)


def test_node_hooks():
    def run(t):
        x = leaf(t, 1.0, 2.0)
        y = x * 3
        seen = []
        y.grad_fn.register_hook(lambda gi, go: seen.append((gi[0].clone(), go[0].clone())))
        y.grad_fn.register_prehook(lambda go: (go[0] * 2,))
        y.sum().backward()
        return seen, x.grad
    both(run)


def test_multi_grad_hook():
    def run(t):
        x, y = leaf(t, 1.0), leaf(t, 2.0)
        seen = []
        t.autograd.graph.register_multi_grad_hook((x, y), lambda gs: seen.append([g.clone() for g in gs]))
        (x * y).sum().backward()
        return seen
    both(run)


def test_gradient_of_a_non_leaf_warns():
    for library in (torch, flambeau):
        y = leaf(library, 1.0) * 2
        with pytest.warns(UserWarning, match="not a leaf"):
            assert y.grad is None


def test_assigned_gradients_are_checked():
    def shape(t):
        leaf(t, 1.0, 2.0).grad = t.ones(3)
    refused(shape, "assign a gradient of size")

    def kind(t):
        leaf(t, 1.0).grad = "text"
    refused(kind, "expected to be a Tensor", TypeError)


# ---------------------------------------------------------------------------------------------- Function
def functions(t):
    class Square(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            x, = ctx.saved_tensors
            return g * 2 * x

    class Exp(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0]

    class Two(t.autograd.Function):
        @staticmethod
        def forward(ctx, x, factor, y):
            ctx.factor = factor
            ctx.mark_non_differentiable(index := (x > 0))
            return x * factor, y + x, index

        @staticmethod
        def backward(ctx, g1, g2, g3):
            ctx.needs = ctx.needs_input_grad
            return g1 * ctx.factor + g2, None, g2

    class Dirty(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            x.mul_(2)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 2

    class Split(t.autograd.Function):
        @staticmethod
        def forward(x, power):
            return x ** power

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(inputs[0])
            ctx.power = inputs[1]

        @staticmethod
        def backward(ctx, g):
            return g * ctx.power * ctx.saved_tensors[0] ** (ctx.power - 1), None

    class Once(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @t.autograd.function.once_differentiable
        def backward(ctx, g):
            return g * 2 * ctx.saved_tensors[0]

    return {each.__name__: each for each in (Square, Exp, Two, Dirty, Split, Once)}


def test_function_first_and_second_order():
    def run(t):
        found = []
        for name in ("Square", "Exp"):
            x = leaf(t, 1.0, -2.0)
            y = functions(t)[name].apply(x)
            g, = t.autograd.grad(y.sum(), x, create_graph=True)
            gg, = t.autograd.grad(g.sum(), x)
            found += [y, g, gg, y.grad_fn.name()]
        return found
    both(run)


def test_function_with_several_outputs():
    def run(t):
        x, y = leaf(t, 1.0, -2.0), leaf(t, 3.0, 4.0)
        a, b, index = functions(t)["Two"].apply(x, 3.0, y)
        (a.sum() + (b * b).sum()).backward()
        only_second = functions(t)["Two"].apply(leaf(t, 1.0), 2.0, t.ones(1))[1]
        only_second.sum().backward()
        return a, b, index, index.requires_grad, x.grad, y.grad
    both(run)


def test_function_that_changes_its_input():
    def run(t):
        x = leaf(t, 1.0, 2.0)
        y = x * 1
        z = functions(t)["Dirty"].apply(y)
        (y * 5).sum().backward()
        return z is y, y, x.grad, y.grad_fn.name()
    both(run)
    refused(lambda t: functions(t)["Dirty"].apply(leaf(t, 1.0)), "leaf Variable")


def test_function_with_setup_context():
    def run(t):
        x = leaf(t, 1.0, -2.0)
        functions(t)["Split"].apply(x, 3).sum().backward()
        return x.grad
    both(run)


def test_function_differentiable_once():
    def first(t):
        x = leaf(t, 1.0, 2.0)
        return t.autograd.grad(functions(t)["Once"].apply(x).sum(), x)
    both(first)

    def second(t):
        x, seed = leaf(t, 1.0, 2.0), leaf(t, 1.0, 1.0)
        g, = t.autograd.grad(functions(t)["Once"].apply(x), x, seed, create_graph=True)
        g.sum().backward()
    refused(second, "once_differentiable")


def test_function_with_wrong_number_of_gradients():
    def run(t):
        class Wrong(t.autograd.Function):
            @staticmethod
            def forward(ctx, x, y):
                return x + y

            @staticmethod
            def backward(ctx, g):
                return g
        Wrong.apply(leaf(t, 1.0), leaf(t, 1.0)).sum().backward()
    refused(run, "incorrect number of gradients")


def test_function_saved_tensor_changed():
    def run(t):
        x = leaf(t, 1.0) * 1
        y = functions(t)["Square"].apply(x)
        x.add_(1)
        y.sum().backward()
    refused(run, "modified by an inplace operation")


# ---------------------------------------------------------------------------------------------- checks and modes
def test_gradcheck():
    def run(t):
        x = t.tensor([0.3, -0.7], dtype=t.float64, requires_grad=True)
        y = t.tensor([[1.0], [2.0]], dtype=t.float64, requires_grad=True)
        return [t.autograd.gradcheck(lambda a, b: (a * b).tanh(), (x, y)),
                t.autograd.gradgradcheck(lambda a, b: (a * b).tanh(), (x, y))]
    both(run)


def test_gradcheck_finds_a_wrong_gradient():
    def run(t):
        class Wrong(t.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x * 2

            @staticmethod
            def backward(ctx, g):
                return g * 3
        x = t.tensor([0.3, -0.7], dtype=t.float64, requires_grad=True)
        assert t.autograd.gradcheck(Wrong.apply, x, raise_exception=False) is False
        t.autograd.gradcheck(Wrong.apply, x)
    refused(run, "Jacobian mismatch")


def test_gradcheck_of_complex_functions():
    def run(t):
        x = t.tensor([0.3 + 0.2j, -0.7 + 1j], dtype=t.complex128, requires_grad=True)
        return [t.autograd.gradcheck(lambda a: a * a.conj() + a, (x,)), t.autograd.gradcheck(lambda a: a.abs(), (x,))]
    both(run)


def test_anomaly_mode_names_the_forward_line():
    x = leaf(flambeau, 0.0)
    with autograd.detect_anomaly():
        y = x / x  # the line that must be named
        with pytest.raises(RuntimeError, match="the line that must be named"):
            y.sum().backward()
    assert not autograd.graph.SAVED_TENSOR_HOOKS.stack


def test_saved_tensor_hooks():
    def run(t):
        seen = []

        def pack(tensor):
            seen.append(tuple(tensor.shape))
            return tensor.numpy() if not tensor.requires_grad else tensor.detach().numpy()

        def unpack(array):
            return t.from_numpy(array) * 1

        x = leaf(t, 1.0, 2.0)
        with t.autograd.graph.saved_tensors_hooks(pack, unpack):
            y = (x * x).exp()
        y.sum().backward()
        return seen, x.grad
    both(run)


def test_functional():
    def run(t):
        from importlib import import_module
        functional = import_module(f"{t.__name__}.autograd.functional")
        x = t.tensor([1.0, 2.0, 3.0])
        v = t.tensor([0.5, -1.0, 2.0])
        return [functional.jacobian(lambda a: a ** 2 * a.sum(), x), functional.hessian(lambda a: (a ** 3).prod(), x),
                functional.vjp(lambda a: a ** 2, x, v)[1], functional.jvp(lambda a: a ** 2 * a.sum(), x, v)[1],
                functional.hvp(lambda a: (a ** 3).sum(), x, v)[1]]
    both(run)


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpoint(reentrant):
    def run(t):
        from importlib import import_module
        checkpoint = import_module(f"{t.__name__}.utils.checkpoint").checkpoint
        t.manual_seed(0)
        x, w = leaf(t, 1.0, 2.0, 3.0), leaf(t, 0.5, 0.1, -1.0)
        runs = []

        def block(a):
            runs.append(1)
            return t.nn.functional.dropout((a * w).tanh(), 0.5) * a
        y = checkpoint(block, x, use_reentrant=reentrant)
        before = len(runs)
        (y * y).sum().backward()
        return y, x.grad, w.grad, before, len(runs)
    both(run)


# ---------------------------------------------------------------------------------------------- size, memory, threads
def test_chain_of_100_000_nodes():
    x = leaf(flambeau, 1.0)
    y = x
    for _ in range(100_000):
        y = y + 1.0
    y.sum().backward()
    assert x.grad.item() == 1.0
    del y  # freeing the chain must not overflow the stack either


def test_graphs_are_freed_without_the_garbage_collector():
    gc.collect()
    gc.disable()
    try:
        x = leaf(flambeau, 1.0, 2.0)
        y = (x.exp() * x).tanh() * 1
        y.mul_(2)
        node = weakref.ref(y.grad_fn)
        kept = weakref.ref(y)
        y.sum().backward()
        del y
        assert kept() is None
        assert node() is None
        temporary = weakref.ref(leaf(flambeau, 1.0))
        assert temporary() is None
    finally:
        gc.enable()


def test_threads_share_a_leaf():
    x = flambeau.ones(50, requires_grad=True)
    errors = []

    def work():
        try:
            for _ in range(50):
                (x * 2).sum().backward()
        except Exception as error:  # noqa: BLE001 - whatever goes wrong in a thread must fail the test
            errors.append(error)
    threads = [threading.Thread(target=work) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not errors
    np.testing.assert_array_equal(x.grad.numpy(), 400.0)


# ---------------------------------------------------------------------------------------------- used up, refused
KEPT = ["x * 2", "2 / x", "x / 2", "x ** 2", "x.exp()", "x + 2", "x - 2", "2 - x", "-x", "x.clone()", "x.mean()",
        "x.view(2, 1)", "x.double()", "t.cat([x, x])", "x.relu()", "x.max()"]


@pytest.mark.parametrize("text", KEPT)
def test_which_graphs_one_backward_uses_up(text):
    """A product with a number counts as keeping a tensor; sums and views keep nothing."""
    def run(t):
        y = eval(text, {"t": t, "x": leaf(t, 1.0, 3.0)}).sum()
        y.backward()
        try:
            y.backward()
        except RuntimeError as error:
            return "second time" in str(error)
        return "usable"
    both(run)


@pytest.mark.parametrize("use", ["im * x", "x * im", "x.mul(im)", "t.dot(x, im)"])
def test_inference_tensors_are_not_saved(use):
    def run(t):
        x = leaf(t, 1.0, 2.0)
        with t.inference_mode():
            im = x * 2
        assert (im + x).requires_grad and (im.clone() * x).requires_grad and not (im * 2).requires_grad
        return eval(use, {"t": t, "x": x, "im": im})
    refused(run, "Inference tensors cannot be saved for backward")


def test_inference_tensors_want_no_gradient():
    def run(t):
        with t.inference_mode():
            im = t.ones(2)
        im.requires_grad_()
    refused(run, "Setting requires_grad=True on inference tensor outside InferenceMode is not allowed")


def test_a_changed_result_is_named_after_its_operator():
    def run(t):
        y = leaf(t, 1.0, 2.0).exp()
        y += 1
        y.sum().backward()
    refused(run, "which is output 0 of Exp.*is at version 1; expected version 0")


def test_grad_takes_the_old_keyword():
    def run(t):
        x = leaf(t, 1.0, 2.0)
        return t.autograd.grad(outputs=x * x, inputs=x, grad_outputs=t.ones(2), only_inputs=True)[0]
    both(run)
