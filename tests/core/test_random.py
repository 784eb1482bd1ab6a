"""Random numbers are PyTorch's for the same seed, and the generator's state afterwards is too."""

# ruff: noqa: E501 - the lists of cases read best without breaks

from __future__ import annotations

import copy
import pickle
import threading

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

DRAWS = [
    "t.rand(3, 4)", "t.rand(3, 4, dtype=t.float64)", "t.rand(2, 3, dtype=t.complex64)", "t.randn(5)", "t.randn(3, 40)",
    "t.randn(40, dtype=t.float64)", "t.randn(2, 20, dtype=t.bfloat16)", "t.randint(10, (4,))", "t.randint(-3, 10, (4,))",
    "t.randint(low=2, high=9, size=(4,), dtype=t.int8)", "t.randint(0, 2 ** 40, (4,))", "t.randperm(100)",
    "t.rand_like(t.ones(4, 5).t())", "t.randn_like(t.ones(4, 5))", "t.randint_like(t.ones(4, 5), 7)",
    "t.randint_like(t.ones(4, 5), 2, 7)", "t.zeros(4, 5).t().uniform_(-1, 2)", "t.zeros(4, 5).uniform_(to=2)",
    "t.zeros(20, dtype=t.float64).normal_(1, 2)", "t.zeros(20, dtype=t.int32).random_()", "t.zeros(20).random_(5)",
    "t.zeros(20).random_(5, 9)", "t.zeros(20).exponential_(2)", "t.zeros(20).geometric_(.3)", "t.zeros(20).cauchy_()",
    "t.zeros(20).log_normal_()", "t.zeros(20).bernoulli_(.3)", "t.zeros(20).bernoulli_(t.full((20,), .3))",
    "t.bernoulli(t.full((20,), .3))", "t.bernoulli(t.zeros(20), .3)", "t.full((20,), .5).bernoulli()",
    "t.normal(t.arange(20.), 2.)", "t.normal(1., t.arange(20.))", "t.normal(t.arange(20.), t.ones(20))",
    "t.normal(0, 1, (3,))", "t.multinomial(t.ones(10), 3)", "t.multinomial(t.ones(2, 10), 30, True)",
    "t.ones(6).multinomial(2)", "t.rand(0)", "t.zeros(3, 4)[:, 1].uniform_()",
]

ERRORS = [
    "t.randint(5, 5, (2,))", "t.zeros(2).uniform_(2, 1)", "t.normal(0., -1., (2,))", "t.zeros(2).normal_(0, -1)",
    "t.zeros(2, dtype=t.int64).uniform_()", "t.ones(2, requires_grad=True).uniform_()", "t.zeros(2).bernoulli_(2.)",
    "t.multinomial(t.ones(3), 5)", "t.randperm(-1)", "t.rand(-1)", "t.zeros(1).expand(3).uniform_()",
    "t.zeros(2).exponential_(-1)", "t.bernoulli(t.ones(2, dtype=t.int64))", "t.Generator().set_state(t.zeros(3))",
    "t.nn.functional.dropout(t.ones(2), 2.)", "t.nn.functional.dropout2d(t.ones(2), .5)",
]


def run(code, library):
    return eval(code, {"t": library})


def both(code):
    torch.manual_seed(3)
    flambeau.manual_seed(3)
    return run(code, flambeau), run(code, torch)


def as_array(tensor):
    tensor = tensor.detach()
    return (tensor.float() if str(tensor.dtype).endswith("bfloat16") else tensor).numpy()


def same_states():
    return np.array_equal(flambeau.get_rng_state().numpy(), torch.get_rng_state().numpy())


@pytest.mark.parametrize("code", DRAWS)
def test_draws_are_pytorchs(code):
    ours, theirs = both(code)
    assert str(ours.dtype) == str(theirs.dtype)
    assert ours.stride() == theirs.stride()
    np.testing.assert_array_equal(as_array(ours), as_array(theirs))
    assert same_states()


@pytest.mark.parametrize("code", ERRORS)
def test_errors_are_of_pytorchs_type(code):
    with pytest.raises(Exception) as theirs:
        run(code, torch)
    with pytest.raises(theirs.type):
        run(code, flambeau)


@pytest.mark.parametrize("p", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("code", [
    "F.dropout(t.ones(4, 5), p)", "F.dropout(t.ones(4, 5).t(), p)", "F.dropout(t.ones(4, 5), p, False)",
    "F.alpha_dropout(t.ones(4, 5), p, True)", "F.dropout1d(t.ones(4, 5), p)", "F.dropout1d(t.ones(2, 4, 5), p)",
    "F.dropout2d(t.ones(2, 4, 5, 2), p)", "F.dropout3d(t.ones(2, 4, 2, 3, 2), p)",
    "F.feature_alpha_dropout(t.ones(2, 4, 5), p, True)", "F.dropout(t.ones(4, 5, dtype=t.bfloat16), p)",
    "t.dropout(t.ones(4, 5), p, True)", "F.dropout(t.ones(4, 5), p, inplace=True)",
])
def test_dropout_is_pytorchs(code, p):
    torch.manual_seed(3)
    flambeau.manual_seed(3)
    ours, theirs = (eval(code, {"t": t, "F": t.nn.functional, "p": p}) for t in (flambeau, torch))
    np.testing.assert_array_equal(as_array(ours), as_array(theirs))
    assert same_states()


def test_the_gradient_of_dropout_is_its_mask():
    flambeau.manual_seed(0)
    x = flambeau.ones(100, requires_grad=True)
    y = flambeau.nn.functional.dropout(x, 0.5)
    y.sum().backward()
    assert y.grad_fn.name() == "MulBackward0"
    assert x.grad.tolist() == y.tolist()
    assert set(y.tolist()) == {0.0, 2.0}


def test_dropout_without_training_gives_the_input_itself():
    x = flambeau.ones(3)
    assert flambeau.nn.functional.dropout(x, training=False) is x


def test_a_generator_is_a_stream_of_its_own():
    ours, theirs = flambeau.Generator().manual_seed(5), torch.Generator().manual_seed(5)
    before = flambeau.get_rng_state().tolist()
    first = flambeau.rand(3, generator=ours)
    np.testing.assert_array_equal(first.numpy(), torch.rand(3, generator=theirs).numpy())
    assert flambeau.get_rng_state().tolist() == before
    assert ours.initial_seed() == 5
    twin = ours.clone_state()
    state = ours.get_state()
    second = flambeau.rand(3, generator=ours).tolist()
    assert flambeau.rand(3, generator=twin).tolist() == second
    assert flambeau.rand(3, generator=flambeau.Generator().set_state(state)).tolist() == second


def test_a_generator_survives_pickling_and_copying():
    generator = flambeau.Generator().manual_seed(9)
    copies = [pickle.loads(pickle.dumps(generator)), copy.deepcopy(generator)]
    wanted = flambeau.rand(4, generator=generator).tolist()
    assert [flambeau.rand(4, generator=each).tolist() for each in copies] == [wanted, wanted]


def test_states_go_from_pytorch_to_us_and_back():
    torch.manual_seed(11)
    torch.randn(7)
    flambeau.set_rng_state(flambeau.from_numpy(torch.get_rng_state().numpy()))
    np.testing.assert_array_equal(flambeau.randn(9).numpy(), torch.randn(9).numpy())


def test_fork_rng_leaves_no_trace():
    flambeau.manual_seed(1)
    state = flambeau.get_rng_state().tolist()
    with flambeau.random.fork_rng():
        flambeau.rand(10)
    assert flambeau.get_rng_state().tolist() == state


def test_seeds():
    assert flambeau.manual_seed(4).initial_seed() == 4
    assert flambeau.initial_seed() == 4
    chosen = flambeau.seed()
    assert flambeau.initial_seed() == chosen
    flambeau.manual_seed(-1)
    assert flambeau.initial_seed() == 2 ** 64 - 1


def test_in_place_draws_count_as_changes_and_cut_the_history():
    x = flambeau.ones(3, requires_grad=True)
    y = x * 1
    before = y._version
    y.uniform_()
    assert y._version != before
    y.sum().backward()
    assert x.grad.tolist() == [0, 0, 0]


def test_threads_may_draw_at_once():
    flambeau.manual_seed(0)
    drawn = []
    threads = [threading.Thread(target=lambda: drawn.append(flambeau.rand(1000))) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len({tuple(each.tolist()) for each in drawn}) == 4


def test_a_generator_for_a_device_that_is_not_there():
    with pytest.raises(RuntimeError, match="cuda"):
        flambeau.Generator("cuda")
