"""The text of tensors, compared with PyTorch's character by character."""

import contextlib
import itertools
import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

import flambeau
from flambeau import printing

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

FLOATS = ["float16", "bfloat16", "float32", "float64"]
FLOAT8 = ["float8_e4m3fn", "float8_e5m2"]
INTEGERS = ["uint8", "int8", "int16", "int32", "int64"]
COMPLEX = ["complex64", "complex128"]

ROWS = {
    "one": [1.0],
    "halves": [0.5, -1.5, 2.0],
    "whole": [1.0, -20.0, 300.0],
    "zeros": [0.0, -0.0, 0.0],
    "not finite only": [math.nan, math.inf, -math.inf],
    "whole with nan": [1.0, math.nan, 3.0],
    "whole with infinities": [math.inf, 7.0, -math.inf],
    "fraction with nan and infinities": [0.25, math.nan, -math.inf, math.inf],
    "zero and fraction": [0.0, 0.125],
    "three decades": [1.0, 1000.0],
    "more than three decades": [1.0, 1001.0],
    "more than three decades with a fraction": [0.5, 600.0],
    "scientific with nan": [1e-4, 1.0, math.nan, -math.inf, 0.0],
    "small": [1e-4, 2e-4],
    "smaller": [9e-5],
    "large": [6e4, 5e4],
    "rounding up": [0.99999, 9.99999],
    "long row": [x / 7 for x in range(-30, 30)],
}

WIDE_ROWS = {
    "hundred million": [1e8],
    "over a hundred million": [100000008.0, 1e8],
    "huge": [3e38, 1e-38],
    "denormal": [1e-42, -1e-44],
}

SHAPES = [
    (),
    (1,),
    (3,),
    (40,),
    (7, 2),
    (2, 3, 4),
    (2, 1, 2, 2, 1),
    (1001,),
    (7, 200),
    (300, 5),
    (6, 7, 40),
    (12, 11, 10),
    (2, 3, 4, 5, 11),
]

OPTIONS: list[dict[str, Any]] = [
    {"precision": 0},
    {"precision": 8},
    {"threshold": 5},
    {"threshold": 5, "edgeitems": 1},
    {"threshold": 0, "edgeitems": 0},
    {"edgeitems": 0},
    {"linewidth": 20},
    {"linewidth": 3},
    {"linewidth": 200, "threshold": math.inf},
    {"profile": "short"},
    {"profile": "full"},
    {"profile": "short", "precision": 6},
    {"sci_mode": True},
    {"sci_mode": True, "precision": 1},
    {"sci_mode": False},
]


@contextlib.contextmanager
def options_of_both(**options: Any) -> Iterator[None]:
    with printing.printoptions(**options), torch._tensor_str.printoptions(**options):
        yield


def both(values: Any, dtype: str, shape: tuple[int, ...] | None = None) -> tuple[Any, Any]:
    """The same tensor in Flambeau and in PyTorch; the narrow types are converted from float64 by each."""
    narrow = dtype in FLOATS + FLOAT8
    made = []
    for library in (flambeau, torch):
        tensor = library.tensor(values, dtype=library.float64 if narrow else getattr(library, dtype))
        if narrow:
            tensor = tensor.to(getattr(library, dtype))
        made.append(tensor if shape is None else tensor.reshape(shape))
    return made[0], made[1]


def assert_same_text(pair: tuple[Any, ...]) -> None:
    ours, theirs = pair
    assert printing.format_tensor(ours) == repr(theirs)


def numbers(dtype: str, count: int) -> list[Any]:
    """A few different magnitudes, reproducible, within the range of every dtype."""
    if dtype == "bool":
        return [i % 3 == 0 for i in range(count)]
    if dtype in INTEGERS:
        return [i * 37 % 101 for i in range(count)]
    fractions = [(i * 37 % 101 - 50) / 8 for i in range(count)]
    if dtype in COMPLEX:
        return [complex(x, i % 13) for i, x in enumerate(fractions)]
    return fractions


@pytest.mark.parametrize("dtype", FLOATS + FLOAT8)
@pytest.mark.parametrize("name", ROWS)
def test_row_of_floats(name: str, dtype: str) -> None:
    assert_same_text(both(ROWS[name], dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("name", WIDE_ROWS)
def test_row_of_extreme_floats(name: str, dtype: str) -> None:
    assert_same_text(both(WIDE_ROWS[name], dtype))


@pytest.mark.parametrize("value", [0.0, -0.0, 1.0, 0.1, -2.5, 1e-5, 1e9, 12345.678, math.nan, -math.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_single_float(value: float, dtype: str) -> None:
    assert_same_text(both(value, dtype))


@pytest.mark.parametrize("dtype", INTEGERS)
def test_row_of_integers(dtype: str) -> None:
    limits = torch.iinfo(getattr(torch, dtype))
    assert_same_text(both([limits.min, limits.max, 0, 1], dtype))


@pytest.mark.parametrize("values", [[True], [False, True], [[True, True], [False, False]], True])
def test_booleans(values: Any) -> None:
    assert_same_text(both(values, "bool"))


@pytest.mark.parametrize("dtype", COMPLEX)
@pytest.mark.parametrize(
    "values",
    [
        1j,
        [1 + 2j, -3 - 4j],
        [0.5 + 100j, -1e-5 + 0j],
        [complex(math.nan, math.inf), complex(-math.inf, math.nan), 1 + 1j],
        [complex(0.0, -0.0), complex(-0.0, 0.0)],
        [[1 + 1e5j, 2.5 - 1e-3j], [0j, 1e10 + 1j]],
        [complex(x, -x / 3) for x in range(30)],
    ],
)
def test_complex(values: Any, dtype: str) -> None:
    assert_same_text(both(values, dtype))


@pytest.mark.parametrize("dtype", [*FLOATS, *FLOAT8, "int64", "uint8", "bool", *COMPLEX])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shape(shape: tuple[int, ...], dtype: str) -> None:
    assert_same_text(both(numbers(dtype, math.prod(shape)), dtype, shape))


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool", "complex64"])
@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0, 3), (0, 0)], ids=str)
def test_empty(shape: tuple[int, ...], dtype: str) -> None:
    ours = flambeau.empty(shape, dtype=getattr(flambeau, dtype))
    assert_same_text((ours, torch.empty(shape, dtype=getattr(torch, dtype))))


def test_views_show_what_they_select() -> None:
    ours, theirs = both(numbers("float32", 2400), "float32", (40, 60))
    assert_same_text((ours.t(), theirs.t()))
    assert_same_text((ours[:, ::7], theirs[:, ::7]))
    assert_same_text((ours[3].expand(50, 60), theirs[3].expand(50, 60)))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "int32", "complex64", "bool"])
def test_options(options: dict[str, Any], dtype: str) -> None:
    with options_of_both(**options):
        for shape in [(), (1,), (9,), (4, 9), (2, 8, 3), (1200,)]:
            assert_same_text(both(numbers(dtype, math.prod(shape)), dtype, shape))


@pytest.mark.parametrize("default", ["float16", "bfloat16", "float32", "float64"])
def test_dtype_is_shown_unless_it_is_the_default(default: str) -> None:
    before = flambeau.get_default_dtype(), torch.get_default_dtype()
    try:
        for library in (flambeau, torch):
            library.set_default_dtype(getattr(library, default))
        for dtype in [*FLOATS, *COMPLEX, "int64", "int32", "bool"]:
            assert_same_text(both(numbers(dtype, 3), dtype))
            assert_same_text(both([], dtype))
    finally:
        for library, dtype in zip((flambeau, torch), before, strict=True):
            library.set_default_dtype(dtype)


def test_leaf_that_requires_grad() -> None:
    ours, theirs = both([1.0, 2.5], "float32")
    assert_same_text((ours.requires_grad_(), theirs.requires_grad_()))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 10, 1001])
def test_result_that_has_a_gradient(size: int, dtype: str) -> None:
    ours, theirs = both(numbers(dtype, size), dtype)
    ours, theirs = ours.requires_grad_() + 1, theirs.requires_grad_() + 1
    assert "grad_fn=<AddBackward0>" in repr(theirs)
    assert_same_text((ours, theirs))


def test_printing_leaves_the_graph_alone() -> None:
    leaf = flambeau.ones(2000).requires_grad_()
    result = leaf * 2
    node = result.grad_fn
    printing.format_tensor(result)
    assert result.grad_fn is node
    result.sum().backward()
    assert leaf.grad[0].item() == 2.0


@pytest.mark.parametrize("requires_grad", [True, False])
def test_parameter(requires_grad: bool) -> None:
    ours, theirs = both(numbers("float32", 12), "float32", (3, 4))
    parameter = flambeau.nn.Parameter(ours, requires_grad=requires_grad)
    expected = repr(torch.nn.Parameter(theirs, requires_grad=requires_grad))
    assert repr(parameter) == expected
    assert "Parameter containing:\n" + printing.format_tensor(parameter) == expected


def test_buffer() -> None:
    assert repr(flambeau.nn.Buffer(flambeau.ones(2, 12))) == repr(torch.nn.Buffer(torch.ones(2, 12)))


def test_subclass_of_parameter() -> None:
    def scale_of(library: Any) -> Any:
        class Scale(library.nn.Parameter):  # type: ignore[misc]
            pass

        return Scale(library.ones(2, 12))

    assert repr(scale_of(flambeau)) == repr(scale_of(torch))


def test_subclass_is_shown_by_its_name() -> None:
    def subclassed(library: Any) -> Any:
        class Temperature(library.Tensor):  # type: ignore[misc]
            pass

        return library.tensor([[1.0, 2.0], [3.0, 4.5]]).as_subclass(Temperature)

    assert printing.format_tensor(subclassed(flambeau)) == repr(subclassed(torch))


@pytest.mark.parametrize("contents", ["<secret>", "x" * 75, "a\nb"])
def test_contents_given(contents: str) -> None:
    ours, theirs = both([1, 2], "int32")
    assert printing.format_tensor(ours, tensor_contents=contents) == theirs.__repr__(tensor_contents=contents)


class Spying:
    """A tensor that pretends to lie on another device and counts the elements that leave it.

    Its name is as long as "tensor", so that the lines below the first are indented alike.
    """

    def __init__(self, tensor: Any, device: str = "cpu", moved: list[int] | None = None) -> None:
        self._tensor = tensor
        self._device = device
        self.moved: list[int] = [] if moved is None else moved

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tensor, name)

    @property
    def device(self) -> Any:
        spying = self

        class Device:
            type = spying._device.partition(":")[0]

            def __str__(self) -> str:
                return spying._device

        return Device()

    def detach(self) -> "Spying":
        return self

    def __getitem__(self, index: Any) -> "Spying":
        return Spying(self._tensor[index], self._device, self.moved)

    def tolist(self) -> Any:
        self.moved.append(self._tensor.numel())
        return self._tensor.tolist()


@pytest.mark.parametrize("shape", [(5000,), (100, 100), (3, 500), (20, 10, 30)], ids=str)
def test_summary_moves_only_what_is_seen(shape: tuple[int, ...]) -> None:
    ours, theirs = both(numbers("float32", math.prod(shape)), "float32", shape)
    spying = Spying(ours)
    text = printing.format_tensor(spying)
    assert text.partition("(")[2] == repr(theirs).partition("(")[2]
    assert sum(spying.moved) == math.prod(min(size, 6) for size in shape)
    assert len(spying.moved) <= 2 ** len(shape)


@pytest.mark.parametrize("device", ["cuda:0", "opencl:1"])
def test_device_is_shown_unless_it_is_the_cpu(device: str) -> None:
    ours, _ = both([1.0, 2.0], "float64")
    text = printing.format_tensor(Spying(ours, device))
    assert text == f"Spying([1., 2.], device='{device}', dtype=torch.float64)"


@pytest.mark.parametrize("shape, dtype", [*itertools.product([(), (2, 3), (0,)], ["float32", "int64"])])
def test_meta_has_no_numbers(shape: tuple[int, ...], dtype: str) -> None:
    # A spy, so that it does not depend on which devices there are.
    spying = Spying(flambeau.zeros(shape, dtype=getattr(flambeau, dtype)), "meta")
    theirs = torch.zeros(shape, dtype=getattr(torch, dtype), device="meta")
    assert printing.format_tensor(spying).partition("(")[2] == repr(theirs).partition("(")[2]
    assert spying.moved == []


def test_repr_and_str_are_the_text() -> None:
    tensor, _ = both([1.0, 2.0], "float32")
    assert repr(tensor) == str(tensor) == printing.format_tensor(tensor) == "tensor([1., 2.])"


def test_options_are_those_of_pytorch() -> None:
    assert printing.get_printoptions() == torch._tensor_str.get_printoptions()
    for options in OPTIONS:
        with options_of_both(**options):
            assert printing.get_printoptions() == torch._tensor_str.get_printoptions()


def test_options_last_as_long_as_the_block() -> None:
    before = printing.get_printoptions()
    with printing.printoptions(precision=1, sci_mode=True):
        assert printing.PRINT_OPTS.precision == 1
    assert printing.get_printoptions() == before


def test_options_are_restored_after_an_error() -> None:
    before = printing.get_printoptions()
    block = printing.printoptions(precision=1)
    block.__enter__()
    assert not block.__exit__(KeyError, KeyError("x"), None)
    assert printing.get_printoptions() == before


def test_setting_options_without_sci_mode_resets_it() -> None:
    with printing.printoptions(sci_mode=True):
        printing.set_printoptions(precision=3)
        assert printing.PRINT_OPTS.sci_mode is None


def test_unknown_profile_changes_nothing() -> None:
    before = printing.get_printoptions()
    with pytest.raises(ValueError, match="default, short, full"):
        printing.set_printoptions(profile="brief", precision=9)
    assert printing.get_printoptions() == before


float_lists = st.lists(
    st.one_of(
        st.floats(width=32),
        st.integers(-2000, 2000).map(float),
        st.floats(-10, 10, width=32),
        st.sampled_from([0.0, -0.0, math.nan, math.inf, 1e8, 1e-4]),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(values=float_lists, dtype=st.sampled_from(FLOATS + FLOAT8))
def test_any_floats(values: list[float], dtype: str) -> None:
    assert_same_text(both(values, dtype))


@settings(max_examples=75, deadline=None)
@given(parts=float_lists, dtype=st.sampled_from(COMPLEX))
def test_any_complex(parts: list[float], dtype: str) -> None:
    assert_same_text(both([complex(a, b) for a, b in itertools.pairwise(parts)], dtype))


@settings(max_examples=150, deadline=None)
@given(
    shape=st.lists(st.integers(0, 9), max_size=4),
    dtype=st.sampled_from(["float32", "int16", "bool", "complex128"]),
    precision=st.integers(0, 12),
    threshold=st.integers(0, 500),
    edgeitems=st.integers(0, 4),
    linewidth=st.integers(1, 120),
    sci_mode=st.sampled_from([None, True, False]),
)
def test_any_shape_and_options(shape: list[int], dtype: str, **options: Any) -> None:
    with options_of_both(**options):
        assert_same_text(both(numbers(dtype, math.prod(shape)), dtype, tuple(shape)))
