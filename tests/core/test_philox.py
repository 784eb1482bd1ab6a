"""The counter-based generator: published vectors, and every draw on a backend that has kernels for none of them."""

from __future__ import annotations

import copy
import math
import pickle
import threading

import numpy as np
import pytest

import flambeau
from flambeau import discovery, registry
from flambeau.ops import philox as from_words
from flambeau.philox import PhiloxGenerator, philox
from guest import Guests

ONES = 0xFFFFFFFF


class DiceBackend(Guests):
    """Two devices with kernels for the primitives, and no generator."""

    name = "dice"

    def __init__(self):
        super().__init__()
        self.kernels = {name: self.kernels[name] for name in registry.primitives() if name in self.kernels}


@pytest.fixture(autouse=True)
def dice():
    discovery.register_backend(DiceBackend)
    with flambeau.fallback("error"):
        yield
    discovery.unregister_backend("dice")


def host(tensor):
    assert tensor.device.type == "dice"
    return tensor.cpu().numpy()


# ---------------------------------------------------------------------------------------------- the function
VECTORS = [
    ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ((ONES,) * 4, (ONES, ONES), "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0), "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


@pytest.mark.parametrize(("counter", "key", "words"), VECTORS)
def test_known_answers_of_random123(counter, key, words):
    assert " ".join(format(word, "08x") for word in philox(counter, key)) == words
    tensors = tuple(flambeau.tensor([word, word], device="dice:1") for word in counter)
    assert " ".join(format(int(word[1]), "08x") for word in philox(tensors, key)) == words


def test_words_are_those_of_the_element_index():
    seed, offset = 0x299F31D0A4093822, 4 * 0x85A308D3243F6A88
    index = flambeau.tensor([[0, 1], [0x0370734413198A2E, 5]], device="dice")
    generator = PhiloxGenerator(seed, 12)
    words = from_words.words((2, 3), generator, index._kind)
    expected = [philox((3, 0, each, 0), (seed & ONES, seed >> 32)) for each in range(6)]
    for number, word in enumerate(words):
        assert host(word).tolist() == np.reshape([each[number] for each in expected], (2, 3)).tolist()
    assert generator.take() == (seed, 16)
    far = from_words._philox(index[1, :1], seed, offset % 2**64)
    block = offset % 2**64 // 4
    assert [int(each) for each in far] == list(
        philox((block & ONES, block >> 32, 0x13198A2E, 0), (seed & ONES, seed >> 32)))


def test_uniforms_are_exact_functions_of_the_words():
    flambeau.manual_seed(7)
    first, second, _, _ = (np.array([philox((0, 0, each, 0), (7, 0))[part] for each in range(50)], np.uint64)
                           for part in range(4))
    assert np.array_equal(host(flambeau.rand(50, device="dice")), (first >> np.uint64(8)) / np.float32(2**24))
    flambeau.manual_seed(7)
    wide = (first >> np.uint64(5)) * np.uint64(2**26) + (second >> np.uint64(6))
    assert np.array_equal(host(flambeau.rand(50, dtype=flambeau.float64, device="dice")), wide / 2.0**53)
    flambeau.manual_seed(7)
    assert np.array_equal(host(flambeau.randint(-5, 1000, (50,), device="dice")),
                          (first % np.uint64(1005)).astype(np.int64) - 5)


# ---------------------------------------------------------------------------------------------- draws
DRAWS = {
    "rand": lambda t, d: t.rand(3, 4, device=d),
    "rand, complex": lambda t, d: t.rand(3, dtype=t.complex64, device=d),
    "rand, bfloat16": lambda t, d: t.rand(30, dtype=t.bfloat16, device=d).float(),
    "randn": lambda t, d: t.randn(3, 4, device=d),
    "randn, float64": lambda t, d: t.randn(3, 4, dtype=t.float64, device=d),
    "randn, complex": lambda t, d: t.randn(3, dtype=t.complex64, device=d),
    "randn, float16": lambda t, d: t.randn(3, dtype=t.float16, device=d),
    "randn, nothing": lambda t, d: t.randn(0, device=d),
    "randn, a number": lambda t, d: t.randn((), device=d),
    "randint": lambda t, d: t.randint(3, 10, (20,), device=d),
    "randint, wide": lambda t, d: t.randint(-2**40, 2**40, (20,), device=d),
    "randperm": lambda t, d: t.randperm(20, device=d),
    "rand_like": lambda t, d: t.rand_like(t.ones(4, 5, device=d).t()),
    "normal": lambda t, d: t.normal(t.arange(20., device=d), 2.0),
    "normal_": lambda t, d: t.zeros(4, 5, device=d).t().normal_(1, 2),
    "uniform_": lambda t, d: t.zeros(20, device=d)[::2].uniform_(-1, 1),
    "random_": lambda t, d: t.zeros(20, dtype=t.int32, device=d).random_(),
    "exponential_": lambda t, d: t.zeros(20, device=d).exponential_(2),
    "geometric_": lambda t, d: t.zeros(20, device=d).geometric_(.3),
    "cauchy_": lambda t, d: t.zeros(20, device=d).cauchy_(),
    "log_normal_": lambda t, d: t.zeros(20, device=d).log_normal_(),
    "bernoulli": lambda t, d: t.full((20,), .3, device=d).bernoulli(),
    "bernoulli_": lambda t, d: t.zeros(20, device=d).bernoulli_(t.full((20,), .3, device=d)),
    "bernoulli_, a number": lambda t, d: t.zeros(20, device=d).bernoulli_(.3),
    "multinomial": lambda t, d: t.ones(2, 10, device=d).multinomial(4),
    "multinomial, with replacement": lambda t, d: t.ones(2, 10, device=d).multinomial(40, True),
    "dropout": lambda t, d: t.nn.functional.dropout(t.ones(20, device=d), .3),
    "alpha_dropout": lambda t, d: t.nn.functional.alpha_dropout(t.ones(20, device=d), .3, training=True),
    "dropout2d": lambda t, d: t.nn.functional.dropout2d(t.ones(2, 3, 4, 4, device=d)),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_draws_repeat_under_a_seed_and_are_the_same_on_every_device(draw):
    flambeau.manual_seed(3)
    one, next_one = host(draw(flambeau, "dice:0")), host(draw(flambeau, "dice:0"))
    other = host(draw(flambeau, "dice:1"))
    flambeau.manual_seed(3)
    again = host(draw(flambeau, "dice:0"))
    assert one.tobytes() == again.tobytes() == other.tobytes()
    assert one.shape == next_one.shape and one.dtype == next_one.dtype
    if one.size > 3:
        assert one.tobytes() != next_one.tobytes()


def test_generators_of_devices_not_used_yet_start_from_the_seed():
    flambeau.manual_seed(2**63 + 5)
    one = host(flambeau.rand(4, device="dice:1"))
    explicit = flambeau.Generator("dice:1").manual_seed(2**63 + 5)
    assert np.array_equal(one, host(flambeau.rand(4, device="dice:1", generator=explicit)))
    assert explicit.initial_seed() == 2**63 + 5
    with pytest.raises(RuntimeError, match="dice:0"):
        flambeau.rand(4, device="dice:0", generator=explicit)


def test_state_is_seed_and_offset_in_sixteen_bytes_and_goes_round():
    generator = flambeau.Generator("dice").manual_seed(-2)
    flambeau.rand(3, device="dice", generator=generator)
    state = generator.get_state()
    assert state.dtype is flambeau.uint8 and state.device.type == "cpu"
    assert bytes(state.tolist()) == (2**64 - 2).to_bytes(8, "little") + (4).to_bytes(8, "little")
    others = [copy.deepcopy(generator), pickle.loads(pickle.dumps(generator)), generator.clone_state(),
              flambeau.Generator("dice").set_state(state)]
    expected = host(flambeau.randn(9, device="dice", generator=generator))
    for other in others:
        assert np.array_equal(expected, host(flambeau.randn(9, device="dice", generator=other)))
    with pytest.raises(RuntimeError, match="wrong size"):
        generator.set_state(state[:8])
    with pytest.raises(RuntimeError, match="multiple of 4"):
        generator.set_state(flambeau.tensor([0] * 8 + [1] + [0] * 7, dtype=flambeau.uint8))
    with pytest.raises(RuntimeError, match="Overflow"):
        generator.manual_seed(2**64)


def test_the_block_of_a_fork_leaves_the_device_s_generator_as_it_was():
    flambeau.manual_seed(1)
    expected = host(flambeau.rand(5, device="dice"))
    flambeau.manual_seed(1)
    with flambeau.random.fork_rng():
        flambeau.rand(5, device="dice")
    assert np.array_equal(expected, host(flambeau.rand(5, device="dice")))


def test_every_thread_gets_another_part_of_the_stream():
    generator = PhiloxGenerator(1)
    taken = []
    threads = [threading.Thread(target=lambda: taken.extend(generator.take()[1] for _ in range(500))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(0, 4 * 2000, 4))


# ---------------------------------------------------------------------------------------------- distributions
COUNT = 40_000


def close(values, mean, deviation):
    assert abs(values.mean() - mean) < 5 * deviation / math.sqrt(values.size)
    assert abs(values.std() / deviation - 1) < 0.03


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_moments_and_ranges(dtype):
    flambeau.manual_seed(11)
    options = {"dtype": getattr(flambeau, dtype), "device": "dice"}

    def drawn(tensor):
        return tensor.cpu().double().numpy()

    uniform = drawn(flambeau.rand(COUNT, **options))
    assert uniform.min() >= 0 and uniform.max() < 1
    close(uniform + (2.0**-9 if dtype == "bfloat16" else 0), 0.5, 1 / math.sqrt(12))
    normal = drawn(flambeau.randn(COUNT, **options))
    close(normal, 0, 1)
    assert np.isfinite(normal).all() and abs((normal**3).mean()) < 0.1 and abs((normal**4).mean() - 3) < 0.25
    exponential = drawn(flambeau.empty(COUNT, **options).exponential_(2.0))
    close(exponential, 0.5, 0.5)
    assert exponential.min() >= 0 and not np.signbit(exponential).any()
    mask = drawn(flambeau.nn.functional.dropout(flambeau.ones(COUNT, **options), 0.1))
    assert abs((mask == 0).mean() - 0.1) < 0.01


@pytest.mark.parametrize(("low", "high"), [
    (0, 2), (-7, 13), (0, 2**32), (-2**31, 2**31), (5, 2**40), (-2**62, 2**62), (0, 2**63 - 1), (-2**63, 2**63 - 1),
    (-2**63, 5), (-2**62 - 2**61, 2**62)])
def test_whole_numbers_fill_their_range(low, high):
    flambeau.manual_seed(2)
    values = host(flambeau.randint(low, high, (4000,), device="dice")).astype(object)
    assert values.min() >= low and values.max() < high
    assert len(set(values)) == (2 if high - low == 2 else 20 if high - low == 20 else 4000)
    if high - low > 1.1 * 2**63:  # one word of 64 bits: some remainders come up twice as often, as in PyTorch
        return
    middle = (values - low).astype(float) / (high - low)
    assert abs(middle.mean() - (0.25 if high - low == 2 else 0.475 if high - low == 20 else 0.5)) < 0.03
    assert abs(middle.std() - (0.25 if high - low == 2 else 1 / math.sqrt(12))) < 0.02
    assert abs((values % 2).astype(float).mean() - 0.5) < 0.05


def test_whole_numbers_without_bounds():
    flambeau.manual_seed(4)
    for name, top in (("int64", 2**63 - 1), ("int32", 2**31 - 1), ("uint8", 255), ("int8", 127), ("bool", 1),
                      ("float32", 2**24), ("float64", 2**53), ("bfloat16", 2**8)):
        values = flambeau.zeros(3000, dtype=getattr(flambeau, name), device="dice").random_().cpu().double().numpy()
        assert values.min() >= 0 and 0.95 * top <= values.max() <= top, name


def test_permutations_hold_every_number_once():
    flambeau.manual_seed(0)
    rows = [host(flambeau.randperm(6, device="dice")) for _ in range(60)]
    assert all(sorted(row) == list(range(6)) for row in rows)
    assert len({tuple(row) for row in rows}) > 40
    assert host(flambeau.randperm(5, dtype=flambeau.float32, device="dice")).dtype == np.float32


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_multinomial_follows_the_weights(dtype):
    flambeau.manual_seed(0)
    weights = flambeau.tensor([[1., 0., 3., 0.], [0., 2., 0., 2.]], dtype=getattr(flambeau, dtype), device="dice")
    drawn = host(weights.multinomial(8000, True))
    for row, expected in zip(drawn, ([.25, 0, .75, 0], [0, .5, 0, .5]), strict=True):
        assert np.abs(np.bincount(row, minlength=4) / 8000 - expected).max() < 0.02
    first = host(weights[:1].expand(8000, 4).multinomial(2))
    assert (np.sort(first) == [0, 2]).all() and abs((first[:, 0] == 2).mean() - .75) < 0.02


@pytest.mark.parametrize(("weights", "count", "phrase"), [
    ([1., -1.], 1, "element < 0"), ([1., math.inf], 1, "inf"), ([0., 0.], 1, "<= 0"), ([1., 1.], 3, "replacement"),
    ([1., 1.], 0, "<= 0")])
def test_multinomial_refuses_what_it_cannot_draw_from(weights, count, phrase):
    with pytest.raises(RuntimeError, match=phrase):
        flambeau.tensor(weights, device="dice").multinomial(count)


def test_gradients_flow_through_dropout_and_stop_at_draws():
    flambeau.manual_seed(5)
    x = flambeau.ones(50, device="dice", requires_grad=True)
    y = flambeau.nn.functional.dropout(x, 0.5)
    y.sum().backward()
    assert np.array_equal(host(x.grad), host(y.detach()))
    p = flambeau.full((5,), 0.5, device="dice", requires_grad=True)
    p.bernoulli().sum().backward()
    assert host(p.grad).tolist() == [0.0] * 5


def test_kernels_replace_decompositions_one_by_one():
    backend = discovery.backend_for("dice")
    flambeau.manual_seed(1)
    expected = host(flambeau.randn(10, device="dice"))
    calls = []

    def kernel(index, seed, offset):
        calls.append((seed, offset))
        return tuple(np.array([philox((offset // 4, 0, int(each), 0), (seed, 0))[part] for each in index.ravel()],
                              np.int64).reshape(index.shape) for part in range(4))
    discovery.add_kernel("dice", "philox", kernel)
    flambeau.manual_seed(1)
    assert np.array_equal(expected, host(flambeau.randn(10, device="dice")))
    assert calls == [(1, 0)]
    seen = []
    backend.kernels["uniform"] = lambda size, low, high, generator, dtype, index, out=None: (
        seen.append(generator.take()), np.zeros(size, np.float32))[1]
    assert host(flambeau.rand(3, device="dice")).tolist() == [0.0] * 3
    assert seen == [(1, 4)]
