"""The limits of the number types, compared with PyTorch's and with what the numbers themselves do."""

from typing import Any

import pytest

from flambeau import dtypes
from flambeau.finfo import finfo, iinfo

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

FLOATING = [d for d in dtypes.ALL if d.is_floating_point or d.is_complex]
INTEGERS = [d for d in dtypes.ALL if d not in FLOATING and d is not dtypes.bool_]
ATTRIBUTES = ["bits", "eps", "max", "min", "smallest_normal", "tiny", "resolution", "dtype"]


def theirs_of(kind: dtypes.dtype) -> Any:
    return getattr(torch, kind.name)


@pytest.mark.parametrize("kind", FLOATING, ids=str)
@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_attribute_of_finfo(kind: dtypes.dtype, attribute: str) -> None:
    expected = getattr(torch.finfo(theirs_of(kind)), attribute)
    if kind is dtypes.float8_e5m2fnuz and attribute == "eps":
        assert expected == 0.125  # PyTorch 2.13 gives half of the distance; see the test below
        expected = 0.25
    ours = getattr(finfo(kind), attribute)
    assert ours == expected
    assert type(ours) is type(expected)


@pytest.mark.parametrize("kind", [d for d in FLOATING if d is not dtypes.float8_e5m2fnuz], ids=str)
def test_repr_of_finfo(kind: dtypes.dtype) -> None:
    assert repr(finfo(kind)) == str(finfo(kind)) == repr(torch.finfo(theirs_of(kind)))


@pytest.mark.parametrize("kind", [d for d in FLOATING if d.itemsize == 1], ids=str)
def test_float8_limits_are_those_of_the_numbers(kind: dtypes.dtype) -> None:
    codes = torch.arange(256, dtype=torch.uint8).view(theirs_of(kind)).double()
    finite = codes[codes.isfinite()]
    limits = finfo(kind)
    assert finite.max().item() == limits.max
    assert finite.min().item() == limits.min
    assert finite[finite > 1].min().item() - 1 == limits.eps


@pytest.mark.parametrize("kind", INTEGERS, ids=str)
def test_iinfo(kind: dtypes.dtype) -> None:
    ours, theirs = iinfo(kind), torch.iinfo(theirs_of(kind))
    assert (ours.bits, ours.min, ours.max, ours.dtype) == (theirs.bits, theirs.min, theirs.max, theirs.dtype)
    assert repr(ours) == str(ours) == repr(theirs)


@pytest.mark.parametrize("kind", [dtypes.float32, dtypes.float64, dtypes.bfloat16], ids=str)
def test_finfo_of_nothing_is_that_of_the_default_dtype(kind: dtypes.dtype) -> None:
    before = dtypes.get_default_dtype()
    try:
        dtypes.set_default_dtype(kind)
        assert finfo() == finfo(kind)
    finally:
        dtypes.set_default_dtype(before)


def test_equality_goes_by_the_type() -> None:
    assert finfo(dtypes.float32) == finfo(type=dtypes.complex64)
    assert finfo(dtypes.float32) != finfo(dtypes.float64)
    assert iinfo(dtypes.int8) == iinfo(dtypes.int8)
    assert iinfo(dtypes.int8) != finfo(dtypes.float32)
    assert finfo(dtypes.float32) != 3
    with pytest.raises(TypeError, match="unhashable"):
        hash(finfo(dtypes.float32))


@pytest.mark.parametrize("limits", [finfo(dtypes.float32), iinfo(dtypes.int8)])
def test_limits_cannot_be_changed(limits: Any) -> None:
    with pytest.raises(AttributeError, match="max"):
        limits.max = 3
    with pytest.raises(AttributeError, match="colour"):
        limits.colour = "red"


@pytest.mark.parametrize("kind", [*INTEGERS, dtypes.bool_], ids=str)
def test_finfo_refuses_types_without_a_point(kind: dtypes.dtype) -> None:
    with pytest.raises(TypeError, match=f"finfo.*torch.{kind.name}.*floating point and complex"):
        finfo(kind)


@pytest.mark.parametrize("kind", [*FLOATING, dtypes.bool_], ids=str)
def test_iinfo_refuses_what_is_no_integer(kind: dtypes.dtype) -> None:
    with pytest.raises(TypeError, match=f"iinfo.*torch.{kind.name}.*integer dtypes"):
        iinfo(kind)


@pytest.mark.parametrize("wrong", ["float32", 3, None, float])
@pytest.mark.parametrize("limits", [finfo, iinfo])
def test_limits_of_what_is_no_dtype(limits: Any, wrong: Any) -> None:
    with pytest.raises(TypeError, match="must be a dtype"):
        limits(wrong)
