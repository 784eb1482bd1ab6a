"""The CPU generator against PyTorch's: every value equal, to the last bit, and the same state afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from flambeau_numpy.mt19937 import DEFAULT_SEED, STATE_BYTES, MT19937Generator

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FLOATS = {
    "float16": np.dtype(np.float16),
    "bfloat16": BFLOAT16,
    "float32": np.dtype("f4"),
    "float64": np.dtype("f8"),
}
INTEGERS = {name: np.dtype(name) for name in ("uint8", "int8", "int16", "int32", "int64", "bool")}
SIZES = (1, 2, 9, 15, 16, 17, 31, 32, 100, 623, 1000, 16 * 1024 * 2 + 5)
SEEDS = (0, 1, 42, 2**32 + 7, -3)


def as_numpy(tensor: Any) -> np.ndarray:
    """A tensor as an array of the same bits; NumPy knows no bfloat16 of its own."""
    if tensor.dtype == torch.bfloat16:
        return tensor.contiguous().view(torch.int16).numpy().view(BFLOAT16)
    return tensor.numpy()


def bits(array: np.ndarray) -> np.ndarray:
    """The bytes of an array, so that -0.0 differs from 0.0 and nan equals nan."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


class Pair:
    """Our generator and PyTorch's, from one seed; every comparison is of values and of states."""

    def __init__(self, seed: int) -> None:
        self.ours = MT19937Generator(seed)
        self.theirs = torch.Generator()
        self.theirs.manual_seed(seed)

    def same(self, ours: np.ndarray, theirs: Any) -> None:
        expected = as_numpy(theirs)
        assert ours.dtype == expected.dtype
        assert ours.shape == expected.shape
        np.testing.assert_array_equal(bits(ours), bits(expected))
        np.testing.assert_array_equal(self.ours.get_state(), self.theirs.get_state().numpy())

    def in_place(
        self, draw: Callable[..., np.ndarray], method: str, dtype: str, shape: Any, *arguments: Any
    ) -> None:
        """Draw into a new array, and into a new tensor by its method."""
        target = torch.empty(shape, dtype=getattr(torch, dtype))
        self.same(
            draw(shape, np_dtype(dtype), *arguments),
            getattr(target, method)(*arguments, generator=self.theirs),
        )


def np_dtype(name: str) -> np.dtype[Any]:
    return {**FLOATS, **INTEGERS}.get(name) or np.dtype(name)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "bounds", [(0.0, 1.0), (-0.1, 0.1), (-1.0, 1.0), (0.0, 0.3), (2.5, 2.5), (1.0, 1.01), (-3.0, 1e4)]
)
def test_uniform(dtype: str, bounds: tuple[float, float]) -> None:
    for seed in SEEDS:
        pair = Pair(seed)
        for size in SIZES:
            pair.in_place(pair.ours.uniform, "uniform_", dtype, size, *bounds)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("parameters", [(0.0, 1.0), (0.0, 0.02), (1.5, 0.3), (-7.0, 0.0), (1e-3, 12.0)])
def test_normal(dtype: str, parameters: tuple[float, float]) -> None:
    for seed in SEEDS:
        pair = Pair(seed)
        for size in SIZES:
            pair.in_place(pair.ours.normal, "normal_", dtype, size, *parameters)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_numbers_are_pairs_of_real_ones(dtype: str) -> None:
    pair = Pair(5)
    for shape in ((3,), (4, 5), ()):
        theirs = torch.randn(shape, dtype=getattr(torch, dtype), generator=pair.theirs)
        pair.same(pair.ours.normal(shape, dtype), theirs)
        pair.same(
            pair.ours.uniform(shape, dtype), torch.rand(shape, dtype=theirs.dtype, generator=pair.theirs)
        )
    ours, theirs = np.empty((5, 4), dtype).T, torch.empty((5, 4), dtype=theirs.dtype).T
    pair.same(pair.ours.normal(out=ours), theirs.normal_(generator=pair.theirs))


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_other_continuous_distributions(dtype: str) -> None:
    for seed in SEEDS[:3]:
        pair = Pair(seed)
        for size in (1, 7, 40, 5000):
            pair.in_place(pair.ours.exponential, "exponential_", dtype, size, 1.0)
            pair.in_place(pair.ours.exponential, "exponential_", dtype, size, 0.37)
            pair.in_place(pair.ours.log_normal, "log_normal_", dtype, size, 0.5, 0.7)
            pair.in_place(pair.ours.cauchy, "cauchy_", dtype, size, 0.3, 2.0)


@pytest.mark.parametrize("dtype", [*FLOATS, "int64", "int32", "int16"])
def test_geometric(dtype: str) -> None:
    pair = Pair(8)
    for p in (0.5, 0.3, 0.01):
        theirs = torch.empty(3000, dtype=getattr(torch, dtype)).geometric_(p, generator=pair.theirs)
        pair.same(pair.ours.geometric(p, 3000, np_dtype(dtype)), theirs)


@pytest.mark.parametrize("dtype", FLOATS)
def test_normal_with_a_mean_and_std_for_each(dtype: str) -> None:
    pair = Pair(11)
    kind = getattr(torch, dtype)
    for size in (5, 16, 45):
        mean, std = torch.linspace(-3, 3, size).to(kind), torch.linspace(0, 2, size).to(kind)
        m, s = as_numpy(mean), as_numpy(std)
        pair.same(pair.ours.normal_from(m, s), torch.normal(mean, std, generator=pair.theirs))
        pair.same(pair.ours.normal_from(m, 0.3), torch.normal(mean, 0.3, generator=pair.theirs))
        pair.same(pair.ours.normal_from(0.7, s), torch.normal(0.7, std, generator=pair.theirs))
        pair.same(
            pair.ours.normal_from(m[:, None], s), torch.normal(mean[:, None], std, generator=pair.theirs)
        )
    wide = torch.linspace(0, 2, 20, dtype=torch.float64)
    pair.same(
        pair.ours.normal_from(as_numpy(torch.ones(20, dtype=kind)), wide.numpy()),
        torch.normal(torch.ones(20, dtype=kind), wide, generator=pair.theirs),
    )


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64", *FLOATS]
)
@pytest.mark.parametrize(
    "bounds", [(0, 1), (0, 10), (3, 100), (0, 128), (-5, 5), (-30000, 30000), (0, 2**28), (7, 2**28 + 6)]
)
def test_randint(dtype: str, bounds: tuple[int, int]) -> None:
    limits = {"float16": 2**11, "bfloat16": 2**8, "float32": 2**24, "float64": 2**53}
    limit = limits.get(dtype) or np.iinfo(dtype).max
    lowest = -limit if dtype in limits else np.iinfo(dtype).min
    low, high = max(bounds[0], lowest), min(bounds[1], limit)
    for seed in SEEDS[:3]:
        pair = Pair(seed)
        for size in (1, 10, 1000):
            theirs = torch.randint(low, high, (size,), dtype=getattr(torch, dtype), generator=pair.theirs)
            pair.same(pair.ours.randint(low, high, size, np_dtype(dtype)), theirs)


@pytest.mark.parametrize(
    "low, high",
    [
        (0, 2**28 - 1),
        (0, 2**28),
        (-(2**40), 2**45),
        (0, 2**63 - 1),
        (-(2**63), 2**63 - 1),
        (-(2**63), -(2**63) + 5),
    ],
)
def test_randint_of_wide_ranges(low: int, high: int) -> None:
    pair = Pair(4)
    pair.same(pair.ours.randint(low, high, (3, 50)), torch.randint(low, high, (3, 50), generator=pair.theirs))


@pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATS])
def test_random_in_the_range_of_the_dtype(dtype: str) -> None:
    pair = Pair(21)
    for size in (1, 10, 2000):
        pair.in_place(pair.ours.random, "random_", dtype, size)
        target = torch.empty(size, dtype=getattr(torch, dtype))
        low = 1 if dtype == "bool" else 3
        pair.same(
            pair.ours.random(size, np_dtype(dtype), low), target.random_(low, None, generator=pair.theirs)
        )
        pair.same(
            pair.ours.random(size, np_dtype(dtype), None, low), target.random_(low, generator=pair.theirs)
        )


@pytest.mark.parametrize("dtype", ["int64", "float64", "float32", "bfloat16"])
def test_random_over_all_of_int64(dtype: str) -> None:
    pair = Pair(21)
    target = torch.empty(100, dtype=getattr(torch, dtype)).random_(-(2**63), None, generator=pair.theirs)
    pair.same(pair.ours.random(100, np_dtype(dtype), -(2**63)), target)


@pytest.mark.filterwarnings("ignore:.*beyond 2:UserWarning", "ignore:.*out of bounds:UserWarning")
@pytest.mark.parametrize(
    "dtype, low, high",
    [("float16", 0, 65504), ("float16", -5001, 65504), ("float32", -(2**25) - 1, 2**25 + 1)],
)
def test_float_bounds_move_to_values_that_exist(dtype: str, low: int, high: int) -> None:
    pair = Pair(2)
    theirs = torch.empty(500, dtype=getattr(torch, dtype)).random_(low, high, generator=pair.theirs)
    pair.same(pair.ours.random(500, np_dtype(dtype), low, high), theirs)


def test_bounds_beyond_the_mantissa_warn() -> None:
    with pytest.warns(UserWarning, match="beyond 2"):
        MT19937Generator().randint(0, 5000, 3, np.float16)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 10, 399, 400, 401, 1000, 4097, 60000])
def test_randperm(n: int) -> None:
    for seed in SEEDS:
        pair = Pair(seed)
        pair.same(pair.ours.randperm(n), torch.randperm(n, generator=pair.theirs))


def test_randperm_of_other_dtypes() -> None:
    pair = Pair(3)
    cases = {
        "uint8": 255,
        "int8": 127,
        "int32": 500,
        "float16": 2049,
        "bfloat16": 257,
        "float32": 700,
        "float64": 700,
    }
    for dtype, n in cases.items():
        theirs = torch.randperm(n, dtype=getattr(torch, dtype), generator=pair.theirs)
        pair.same(pair.ours.randperm(n, np_dtype(dtype)), theirs)
        if n in (255, 127, 2049, 257):
            with pytest.raises(RuntimeError, match="randperm expects n <="):
                pair.ours.randperm(n + 1, np_dtype(dtype))


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS])
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9, 1.0, 1 / 3])
def test_bernoulli_of_a_number(dtype: str, p: float) -> None:
    pair = Pair(17)
    for shape in ((1,), (10,), (64, 128), (3, 0)):
        theirs = torch.empty(shape, dtype=getattr(torch, dtype)).bernoulli_(p, generator=pair.theirs)
        pair.same(pair.ours.bernoulli(p, shape, np_dtype(dtype)), theirs)


def test_bernoulli_decides_ties_of_the_high_bits_by_the_low_ones() -> None:
    source = torch.Generator()
    source.manual_seed(1)
    draws = torch.rand(50, dtype=torch.float64, generator=source).tolist()
    for value in draws:
        for p in (value, float(np.nextafter(value, 0.0)), float(np.nextafter(value, 1.0))):
            pair = Pair(1)
            theirs = torch.empty(50).bernoulli_(p, generator=pair.theirs)
            pair.same(pair.ours.bernoulli(p, 50), theirs)


@pytest.mark.parametrize("of", FLOATS)
def test_bernoulli_of_an_array(of: str) -> None:
    pair = Pair(17)
    p = torch.linspace(0, 1, 1001).to(getattr(torch, of))
    pair.same(pair.ours.bernoulli(as_numpy(p)), torch.bernoulli(p, generator=pair.theirs))
    for dtype in ("float32", "float64", "int64", "bool"):
        theirs = torch.empty(3, 1001, dtype=getattr(torch, dtype)).bernoulli_(p, generator=pair.theirs)
        pair.same(pair.ours.bernoulli(as_numpy(p), (3, 1001), np_dtype(dtype)), theirs)


@pytest.mark.parametrize("threads", [1, 2])
def test_dropout(threads: int) -> None:
    before = torch.get_num_threads()
    state = torch.get_rng_state()
    torch.set_num_threads(threads)
    try:
        for name, dtype in FLOATS.items():
            for p in (0.0, 0.1, 0.25, 0.5, 0.9, 1.0):
                pair = Pair(7)
                torch.manual_seed(7)
                theirs = torch.nn.functional.dropout(torch.ones(64, 128, dtype=getattr(torch, name)), p)
                pair.theirs.set_state(torch.get_rng_state())
                pair.same(pair.ours.dropout_mask(p, (64, 128), dtype), theirs)
    finally:
        torch.set_num_threads(before)
        torch.set_rng_state(state)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(7,), (2,), (3, 6), (1, 4)])
def test_multinomial(dtype: str, shape: tuple[int, ...]) -> None:
    pair = Pair(9)
    weights = torch.arange(1.0, 1.0 + int(np.prod(shape))).reshape(shape).to(getattr(torch, dtype))
    for replacement in (False, True):
        most = 2 if dtype == "bfloat16" else shape[-1]  # more end in ties, whose order PyTorch leaves open
        for samples in {1, most} | ({50} if replacement else set()):
            theirs = torch.multinomial(weights, samples, replacement, generator=pair.theirs)
            pair.same(pair.ours.multinomial(as_numpy(weights), samples, replacement), theirs)


def test_multinomial_over_many_categories() -> None:
    pair = Pair(9)
    weights = torch.rand(4, 5000, generator=pair.theirs)
    pair.ours.uniform((4, 5000))
    for samples, replacement in ((1, False), (200, False), (1000, True)):
        theirs = torch.multinomial(weights, samples, replacement, generator=pair.theirs)
        pair.same(pair.ours.multinomial(weights.numpy(), samples, replacement), theirs)


LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "transposed": lambda x: x.T,
    "every other column": lambda x: x[:, ::2],
    "every other row": lambda x: x[::2],
    "columns of the transposed": lambda x: x.T[:, 1:9],
    "one column": lambda x: x[:, 3],
    "one row": lambda x: x[3],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_strided_targets_are_filled_in_the_order_of_memory(layout: str) -> None:
    pair = Pair(31)
    view = LAYOUTS[layout]
    chance = torch.linspace(0, 1, 40)
    draws: list[tuple[Callable[..., np.ndarray], str, tuple[Any, ...]]] = [
        (pair.ours.uniform, "uniform_", ()),
        (pair.ours.normal, "normal_", (0.5, 2.0)),
        (pair.ours.random, "random_", ()),
        (pair.ours.exponential, "exponential_", ()),
    ]
    for draw, method, arguments in draws:
        ours, theirs = np.zeros((20, 40), np.float32), torch.zeros(20, 40)
        target = view(ours)
        parameters = dict(zip(("mean", "std"), arguments, strict=False))
        assert draw(out=target, **parameters) is target
        getattr(view(theirs), method)(*arguments, generator=pair.theirs)
        pair.same(ours, theirs)
    ours, theirs = np.zeros((20, 40), np.float32), torch.zeros(20, 40)
    columns = chance[: view(theirs).shape[-1]]
    pair.ours.bernoulli(columns.numpy(), out=view(ours))
    view(theirs).bernoulli_(columns, generator=pair.theirs)
    pair.same(ours, theirs)
    pair.ours.bernoulli(0.4, out=view(ours))
    view(theirs).bernoulli_(0.4, generator=pair.theirs)
    pair.same(ours, theirs)


def test_permuted_targets_of_four_dimensions() -> None:
    pair = Pair(6)
    for order in ((0, 2, 3, 1), (3, 1, 0, 2), (1, 0, 3, 2)):
        ours, theirs = np.zeros((2, 3, 1, 5), np.float32), torch.zeros(2, 3, 1, 5)
        pair.ours.normal(out=ours.transpose(order))
        theirs.permute(order).normal_(generator=pair.theirs)
        pair.same(ours, theirs)


def test_nothing_is_drawn_for_no_elements() -> None:
    generator = MT19937Generator(1)
    before = generator.get_state()
    for draw in (
        generator.uniform,
        generator.normal,
        generator.random,
        generator.exponential,
        generator.log_normal,
    ):
        assert draw((3, 0)).shape == (3, 0)
    assert generator.bernoulli(0.5, (0,)).size == 0
    assert generator.randint(0, 9, (0, 2)).shape == (0, 2)
    np.testing.assert_array_equal(generator.get_state(), before)


def test_numbers_too_large_for_the_dtype_are_infinite() -> None:
    pair = Pair(2)
    pair.in_place(pair.ours.normal, "normal_", "float16", 100, 0.0, 1e5)
    pair.in_place(pair.ours.exponential, "exponential_", "float16", 100, 1e-6)
    pair.in_place(pair.ours.log_normal, "log_normal_", "float32", 100, 0.0, 500.0)
    theirs = torch.empty(100, dtype=torch.float16).geometric_(1e-6, generator=pair.theirs)
    pair.same(pair.ours.geometric(1e-6, 100, np.float16), theirs)
    pair.in_place(pair.ours.uniform, "uniform_", "float64", 100, -8e307, 9e307)


@pytest.mark.parametrize("seed", range(5))
def test_any_sequence_of_draws(seed: int) -> None:
    choose, pair = np.random.default_rng(seed), Pair(seed)
    for _ in range(60):
        size = int(choose.choice([0, 1, 3, 15, 16, 17, 40, 700]))
        dtype = str(choose.choice(list(FLOATS)))
        shift, scale = float(choose.normal()), float(choose.exponential())
        match int(choose.integers(6)):
            case 0:
                pair.in_place(pair.ours.uniform, "uniform_", dtype, size, shift, shift + scale)
            case 1:
                pair.in_place(pair.ours.normal, "normal_", dtype, size, shift, scale)
            case 2:
                pair.in_place(pair.ours.log_normal, "log_normal_", dtype, size, shift, min(scale, 2.0))
            case 3:
                pair.in_place(pair.ours.random, "random_", dtype, size)
            case 4:
                pair.same(pair.ours.randperm(size), torch.randperm(size, generator=pair.theirs))
            case _:
                theirs = torch.empty(size).bernoulli_(1 / (1 + scale), generator=pair.theirs)
                pair.same(pair.ours.bernoulli(1 / (1 + scale), size), theirs)


def test_states_pass_between_the_libraries() -> None:
    pair = Pair(12)
    for warm_up in (0, 1, 15, 623, 624, 625):
        pair.ours.uniform(warm_up)
        pair.ours.normal(3)
        theirs = torch.Generator()
        theirs.set_state(torch.from_numpy(pair.ours.get_state()))
        assert theirs.initial_seed() == pair.ours.initial_seed()
        pair.theirs = theirs
        pair.same(pair.ours.normal(40), torch.randn(40, generator=theirs))
        torch.randn(warm_up % 7, generator=theirs)
        pair.ours = MT19937Generator().set_state(theirs.get_state().numpy().tobytes())
        pair.same(pair.ours.normal(9), torch.randn(9, generator=theirs))


def test_seeds() -> None:
    generator, theirs = MT19937Generator(), torch.Generator()
    assert generator.initial_seed() == theirs.initial_seed() == DEFAULT_SEED
    np.testing.assert_array_equal(generator.get_state(), theirs.get_state().numpy())
    for seed in (0, -1, 2**64 - 1, -(2**63), 2**32 - 1):
        theirs.manual_seed(seed)
        assert generator.manual_seed(seed).initial_seed() == theirs.initial_seed()
        np.testing.assert_array_equal(generator.get_state(), theirs.get_state().numpy())
    fresh = generator.seed()
    assert fresh == generator.initial_seed() < 2**53
    assert fresh != generator.seed()


def test_seeding_forgets_the_spare_normal_number() -> None:
    generator = MT19937Generator(3)
    first = generator.normal(3)
    generator.manual_seed(3)
    np.testing.assert_array_equal(generator.normal(3), first)


def test_a_clone_goes_its_own_way() -> None:
    generator = MT19937Generator(3)
    generator.normal(3)
    clone = generator.clone_state()
    np.testing.assert_array_equal(clone.normal(50), generator.normal(50))
    clone.uniform(1)
    assert not np.array_equal(clone.get_state(), generator.get_state())


def test_threads_share_a_generator() -> None:
    generator, alone = MT19937Generator(3), MT19937Generator(3)
    parts: list[np.ndarray] = []

    def work() -> None:
        parts.extend(generator.uniform(100, np.float64) for _ in range(50))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    drawn = np.sort(np.concatenate(parts))
    np.testing.assert_array_equal(drawn, np.sort(alone.uniform(200 * 100, np.float64)))
    np.testing.assert_array_equal(generator.get_state(), alone.get_state())


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda g: g.manual_seed(1.5), RuntimeError, "whole number"),
        (lambda g: g.manual_seed(True), RuntimeError, "whole number"),
        (lambda g: g.manual_seed(2**64), ValueError, "2\\*\\*64"),
        (lambda g: g.set_state(b"short"), RuntimeError, str(STATE_BYTES)),
        (lambda g: g.set_state(np.zeros(STATE_BYTES)), TypeError, "uint8"),
        (lambda g: g.set_state(bytes(STATE_BYTES)), RuntimeError, "seeded=0"),
        (lambda g: g.uniform(3, low=2.0, high=1.0), RuntimeError, "low <= high"),
        (lambda g: g.uniform(3, np.float16, high=1e6), RuntimeError, "low <= high"),
        (lambda g: g.uniform(3, np.int64), NotImplementedError, "int64"),
        (lambda g: g.normal(3, std=-1.0), RuntimeError, "std >= 0"),
        (lambda g: g.normal(3, np.int64), NotImplementedError, "int64"),
        (lambda g: g.normal_from(np.zeros(2), -np.ones(2)), RuntimeError, "std >= 0"),
        (lambda g: g.normal_from(0.0, 1.0), TypeError, "array"),
        (lambda g: g.exponential(3, lambd=0.0), RuntimeError, "lambd > 0"),
        (lambda g: g.exponential(3, np.int64), RuntimeError, "floats"),
        (lambda g: g.geometric(1.0, 3), RuntimeError, "\\(0, 1\\)"),
        (lambda g: g.geometric(0.5, 3, np.bool_), NotImplementedError, "bool"),
        (lambda g: g.log_normal(3, std=0.0), RuntimeError, "std > 0"),
        (lambda g: g.cauchy(3, sigma=0.0), RuntimeError, "sigma > 0"),
        (lambda g: g.cauchy(3, np.int64), RuntimeError, "floats"),
        (lambda g: g.randint(5, 5, 3), RuntimeError, "low < high"),
        (lambda g: g.randint(0, 300, 3, np.uint8), RuntimeError, "out of bounds"),
        (lambda g: g.randint(0, 5, 3, np.bool_), RuntimeError, "out of bounds"),
        (lambda g: g.randint(0, 2**40, 3, np.float16), RuntimeError, "out of bounds"),
        (lambda g: g.randint(0, 5, 3, np.complex64), RuntimeError, "complex64"),
        (lambda g: g.random(3, np.uint32), NotImplementedError, "uint32"),
        (lambda g: g.random(3, np.int32, -(2**63)), RuntimeError, "int32"),
        (lambda g: g.random(3, np.float16, 5000), RuntimeError, "low <="),
        (lambda g: g.randperm(-1), RuntimeError, "n >= 0"),
        (lambda g: g.randperm(2**31), RuntimeError, "in parts"),
        (lambda g: g.bernoulli(1.5, 3), RuntimeError, "\\[0, 1\\]"),
        (lambda g: g.bernoulli(np.array([1.5])), RuntimeError, "\\[0, 1\\]"),
        (lambda g: g.bernoulli(np.array([1])), NotImplementedError, "int64"),
        (lambda g: g.dropout_mask(1.5, 3), ValueError, "\\[0, 1\\]"),
        (lambda g: g.multinomial(np.ones(3), 4), RuntimeError, "num_samples <= 3"),
        (lambda g: g.multinomial(np.ones(3), 0), RuntimeError, "num_samples >= 1"),
        (lambda g: g.multinomial(np.zeros(3), 2), RuntimeError, "positive sum"),
        (lambda g: g.multinomial(-np.ones(3), 2), RuntimeError, "negative"),
        (lambda g: g.multinomial(np.ones((2, 2, 2)), 1), RuntimeError, "dimensions"),
        (lambda g: g.multinomial(np.ones(3, np.int64), 1), RuntimeError, "floating-point"),
    ],
)
def test_errors(call: Callable[[MT19937Generator], Any], error: type[Exception], message: str) -> None:
    generator = MT19937Generator(1)
    before = generator.get_state()
    with pytest.raises(error, match=message):
        call(generator)
    np.testing.assert_array_equal(generator.get_state(), before)
