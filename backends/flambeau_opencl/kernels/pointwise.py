"""Kernels of every pointwise operator whose record states a scalar expression, rendered from it.

An operator's kernels for all dtypes make one program (a second one for complex dtypes), built when it is first called.
A call finds its *plan* by what it is called with: dtypes and number of elements where all arrays are dense, or shapes
and strides. A plan is a kernel with everything set but the buffers, offsets and numbers, so that repeating a call
costs little more than queueing it.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyopencl as cl

from flambeau import dtypes as fd
from flambeau.dtypes import BOOL, INTEGER, dtype
from flambeau.errors import ArgumentError, FlambeauError
from flambeau.ir import clike, prelude
from flambeau.ir.dialect import C_TYPES, RANK, STRUCT_FORMATS
from flambeau.ir.expr import trace
from flambeau.ir.loops import Operand, Pointwise, Result
from flambeau.registry import LISTENERS, OPERATORS, WITHDRAWALS, OpDef
from flambeau_opencl.array import Array, empty, like
from flambeau_opencl.kernels.movement import collapse, contiguous
from flambeau_opencl.launch import NARROW

COMPUTED = tuple(each for each in fd.ALL if not each.storage_only and each not in (fd.float16, fd.bfloat16))
LARGE = 1 << 15        # elements from which it pays to copy an operand first, where its layout makes a kernel slow
PLANS = 4096           # that an operator keeps; with more, it starts anew
_FORMS = {1: ("a",), 2: ("aa", "av", "va"), 3: ("aaa", "aav", "ava", "avv"), 4: ("aaaa", "aaav", "avvv")}
_pack_offset = struct.Struct("=q").pack
_pack_int = struct.Struct("=i").pack
_enqueue = cl.enqueue_nd_range_kernel


class Operator:
    """The loops of one operator by the dtype that it computes in, and its programs."""

    def __init__(self, name: str, parameters: Sequence[str], expr: Callable[..., Any], promote: Any,
                 excluded: Sequence[int] = (), uncast: Sequence[int] = ()) -> None:
        self.name, self.parameters, self.uncast = name, tuple(parameters), frozenset(uncast)
        self.expr, self.promote, self.excluded = expr, promote, excluded
        self.forms = _FORMS.get(len(self.parameters), ("a" * len(self.parameters),))
        self._loops: dict[dtype, Pointwise] | None = None

    @classmethod
    def of(cls, record: OpDef) -> Operator:
        """The operator of a record."""
        return cls(record.name, record.parameters, record.expr, record.promote, record.excluded, record.uncast)

    @property
    def loops(self) -> dict[dtype, Pointwise]:
        """The loop for each dtype of operands that the operator is defined for."""
        if self._loops is None:
            self._loops = dict(self._make_loops())
        return self._loops

    def _make_loops(self) -> Iterator[tuple[dtype, Pointwise]]:
        tree = trace(self.expr, self.parameters)
        for given in COMPUTED:
            try:
                if given.category in self.excluded:
                    continue
                inner, outer = self.promote(given)
                if inner is not given:
                    continue
                operands = tuple(Operand(name, fd.bool_ if position in self.uncast else inner)
                                 for position, name in enumerate(self.parameters))
                loop = Pointwise(operands, (Result(tree, outer),), inner)
                clike.lowered(loop)
            except (FlambeauError, TypeError):    # the operator, or one of its functions, has no such dtype
                continue
            yield inner, loop

    def kernel(self, device: Any, kind: dtype, form: str, wide: bool) -> Any:
        """A new kernel object: a form of operands, or "s" for any strides."""
        program = device.programs.build(self.text(device.traits.fp64, kind.is_complex), self.name, wide)
        return cl.Kernel(program, f"{self.name}_{C_TYPES[kind]}_{form}")

    def text(self, fp64: bool, is_complex: bool) -> str:
        """The program for all real dtypes, or all complex ones."""
        loops = {kind: loop for kind, loop in self.loops.items() if kind.is_complex is is_complex
                 and (fp64 or not {fd.float64, fd.complex128} & {kind, loop.results[0].dtype})}
        used = {each for loop in loops.values() for each in clike.functions(loop)}
        parts = [clike.walk_type(len(self.parameters) + 1), prelude.text(used, fp64)]
        for kind, loop in loops.items():
            name = f"{self.name}_{C_TYPES[kind]}_"
            parts += [clike.flat(loop, name + form, form) for form in self.forms]
            parts.append(clike.strided(loop, name + "s"))
        return "\n".join(parts)

    def loop(self, kind: dtype) -> Pointwise:
        """The loop for operands of a dtype; TypeError where there is none."""
        try:
            return self.loops[kind]
        except KeyError:
            raise TypeError(f"{self.name} is not defined for {kind}") from None


def packer(kind: dtype) -> Callable[[Any], bytes]:
    """How a Python number becomes an argument of a dtype; OverflowError for an integer that does not fit."""
    pack = struct.Struct("=" + STRUCT_FORMATS[C_TYPES[kind]]).pack
    if kind.category == BOOL:
        return lambda number: pack(bool(number))
    if kind.category == INTEGER:
        def integer(number: Any) -> bytes:
            try:
                return pack(number)
            except struct.error:
                raise OverflowError(f"{number} is beyond the range of {kind}") from None
        return integer

    def floating(number: Any) -> bytes:
        try:
            return pack(number)
        except OverflowError:    # beyond the largest float32
            return pack(math.copysign(math.inf, number))
    if not kind.is_complex:
        return floating if kind is fd.float32 else pack
    part = packer(kind.to_real())
    return lambda number: part(number.real) + part(number.imag)


class Plan:
    """A kernel that is ready but for buffers, offsets that are not what they were last time, and numbers.

    `spots` has the parameter's position of each operand: of its memory, the next being its offset, or of its value; at
    the end that of ERRORS. `places` has those of the result and the operands that are arrays, `offsets` what was set.
    """

    __slots__ = ("device", "fails", "global_size", "kernel", "latest", "local_size", "lock", "name", "offsets", "op",
                 "outer", "pack", "places", "shifts", "spots")

    def __init__(self, op: Operator, device: Any, loop: Pointwise, kernel: Any, items: int) -> None:
        self.op, self.device, self.kernel, self.lock = op.name, device, kernel, device.lock
        self.name, self.latest = kernel.function_name, device.faults.latest
        self.outer = loop.results[0].dtype
        self.global_size, self.local_size = device.sizes(items)
        self.fails = clike.can_fail(loop)
        self.pack = [packer(each.dtype) for each in loop.operands]
        self.spots: list[int] = []
        self.places: list[int] = []
        self.offsets: list[int] = []
        self.shifts: list[tuple[int, ...]] = []

    def put_offsets(self, arrays: Sequence[Array]) -> None:
        """Set the offsets of the result and of the operands that are arrays."""
        for position, each in zip(self.places, arrays, strict=True):
            self.kernel._set_arg_buf(position + 1, _pack_offset(each.offset))
        self.offsets = [each.offset for each in arrays]

    def checked(self, out: Array, like: Array, lane: Any) -> Array | None:
        """`out`, if the plan's kernel can write to it; else None."""
        if not out.dense or out.shape != like.shape or out.dtype is not self.outer:
            return None
        if out.memory.lane is not lane:
            out.memory.use(lane)
        return out

    def put_errors(self, position: int, arrays: Sequence[Array]) -> None:
        """Set the last parameters of a kernel that can fail."""
        buffer, number = self.device.faults.register(self.op, arrays)
        self.kernel.set_arg(position, buffer)
        self.kernel._set_arg_buf(position + 1, _pack_int(number))

    def go(self, lane: Any) -> None:
        """Launch the kernel in a lane, all arguments being set."""
        self.latest.append(self.name)
        try:
            _enqueue(lane.queue, self.kernel, self.global_size, self.local_size)
        except cl.Error as error:
            self.device.recover(error, lambda: _enqueue(lane.queue, self.kernel, self.global_size, self.local_size))


def flat_plan(op: Operator, device: Any, kind: dtype, form: str, size: int) -> Plan:
    """The plan for dense arrays of one size and numbers."""
    loop = op.loop(kind)
    plan = Plan(op, device, loop, op.kernel(device, kind, form, size > NARROW), size)
    position = 2
    for how in form:
        plan.spots.append(position)
        position += 2 if how == "a" else 1
    plan.places = [0, *[spot for spot, how in zip(plan.spots, form, strict=True) if how == "a"]]
    plan.kernel._set_arg_buf(position, _pack_offset(size))
    plan.spots.append(position + 1)
    return plan


# ---------------------------------------------------------------------------------------------- the general way
def _is_flat(operands: Sequence[Any], shape: tuple[int, ...], out: Array | None) -> bool:
    return (out is None or out.dense) and all(
        each.dense and each.shape == shape for each in operands if each.__class__ is Array)


class General:
    """Calls with any operands: finds what they are, and a plan for it."""

    def __init__(self, op: Operator) -> None:
        self.op = op
        self.arity = len(op.parameters)
        self.promoted = [position for position in range(self.arity) if position not in op.uncast]
        self.plans: dict[Any, Plan] = {}

    def __call__(self, operands: Sequence[Any], out: Array | None = None) -> Array:
        """The result of a call, in `out` if that is given."""
        arrays = [each for each in operands if each.__class__ is Array]
        device = arrays[0].device
        kind = next((operands[position].dtype for position in self.promoted
                     if operands[position].__class__ is Array), arrays[0].dtype)
        shape = arrays[0].shape
        if any(each.shape != shape for each in arrays):
            shape = broadcast([each.shape for each in arrays])
        loop = self.op.loop(kind)
        if any(each.__class__ is Array and each.dtype is not wanted.dtype
               for each, wanted in zip(operands, loop.operands, strict=True)):
            raise TypeError(f"{self.op.name}: operands of {', '.join(str(each.dtype) for each in arrays)}, where "
                            f"{', '.join(str(each.dtype) for each in loop.operands)} are expected")
        if math.prod(shape) >= LARGE:
            operands = [straight(each, shape, loop) for each in operands]
            arrays = [each for each in operands if each.__class__ is Array]
        result = self.target(loop, shape, device, out)
        if result.size:
            form = "".join(["a" if each.__class__ is Array else "v" for each in operands])
            if form in self.op.forms and _is_flat(operands, shape, out):
                self.flat(device, kind, form, operands, result, arrays)
            else:
                self.strided(device, kind, form, operands, result, arrays)
        return result

    def target(self, loop: Pointwise, shape: tuple[int, ...], device: Any, out: Array | None) -> Array:
        """Where the result goes."""
        outer = loop.results[0].dtype
        if out is None:
            return empty(shape, outer, device)
        if out.shape != shape:
            raise ValueError(f"{self.op.name}: the result has shape {list(shape)}, out has {list(out.shape)}")
        if out.dtype is not outer:
            raise TypeError(f"{self.op.name}: the result has dtype {outer}, out has {out.dtype}")
        return out

    def plan(self, key: Any, make: Callable[..., Plan], *args: Any) -> Plan:
        """The plan for a key, made if need be."""
        plan = self.plans.get(key)
        if plan is None:
            if len(self.plans) >= PLANS:
                self.plans.clear()
            plan = self.plans[key] = make(self.op, *args)
        return plan

    def flat(self, device: Any, kind: dtype, form: str, operands: Sequence[Any], result: Array,
             arrays: Sequence[Array]) -> None:
        """Queue a flat kernel."""
        plan = self.plan((kind, result.size, form, device), flat_plan, device, kind, form, result.size)
        numbers = [None if each.__class__ is Array else pack(each)
                   for each, pack in zip(operands, plan.pack, strict=True)]
        lane = used([result, *arrays])
        with plan.lock:
            for position, each in zip(plan.places, [result, *arrays], strict=True):
                plan.kernel.set_arg(position, each.memory.buffer)
            plan.put_offsets([result, *arrays])
            for spot, number in zip(plan.spots, numbers, strict=False):
                if number is not None:
                    plan.kernel._set_arg_buf(spot, number)
            if plan.fails:
                plan.put_errors(plan.spots[-1], arrays)
            plan.go(lane)

    def strided(self, device: Any, kind: dtype, form: str, operands: Sequence[Any], result: Array,
                arrays: Sequence[Array]) -> None:
        """Queue a strided kernel, several times where eight dimensions are not enough."""
        key = (kind, form, device, result.shape, result.strides, *[(each.shape, each.strides) for each in arrays])
        plan = self.plan(key, strided_plan, device, kind, operands, result)
        numbers = [None if each.__class__ is Array else pack(each)
                   for each, pack in zip(operands, plan.pack, strict=True)]
        lane = used([result, *arrays])
        with plan.lock:
            for shift in plan.shifts:
                self._put_strided(plan, result, operands, numbers, shift)
                if plan.fails:
                    plan.put_errors(plan.spots[-1], arrays)
                plan.go(lane)

    def _put_strided(self, plan: Plan, result: Array, operands: Sequence[Any], numbers: Sequence[bytes | None],
                     shift: Sequence[int]) -> None:
        kernel = plan.kernel
        kernel.set_arg(0, result.memory.buffer)
        kernel._set_arg_buf(1, _pack_offset(result.offset + shift[0]))
        for slot, (spot, each, number) in enumerate(zip(plan.spots, operands, numbers, strict=False), 1):
            if number is None:
                kernel.set_arg(spot, each.memory.buffer)
                kernel._set_arg_buf(spot + 1, _pack_offset(each.offset + shift[slot]))
            else:
                kernel.set_arg(spot, result.memory.buffer)    # any: it is not read
                kernel._set_arg_buf(spot + 2, number)


def strided_plan(op: Operator, device: Any, kind: dtype, operands: Sequence[Any], result: Array) -> Plan:
    """The plan for arrays of any strides, and numbers."""
    loop = op.loop(kind)
    strides = [result.strides, *[stretched(each, result.shape) if each.__class__ is Array else (0,) * len(result.shape)
                                 for each in operands]]
    sizes, merged = collapse(result.shape, *strides)
    if not sizes:
        sizes, merged = [1], [[0] for _ in merged]
    outer, sizes = sizes[:-RANK], sizes[-RANK:]
    shifts = [tuple(sum(place * each[d] for d, place in enumerate(places)) for each in merged)
              for places in places_of(outer)]
    merged = [each[-RANK:] for each in merged]
    count = math.prod(sizes)
    reach = max(sum((size - 1) * stride for size, stride in zip(sizes, each, strict=True)) for each in merged)
    plan = Plan(op, device, loop, op.kernel(device, kind, "s", max(count, reach) > NARROW), count)
    kernel, position = plan.kernel, 2
    for each, pack in zip(operands, plan.pack, strict=True):
        plan.spots.append(position)
        is_array = each.__class__ is Array
        kernel._set_arg_buf(position + 1, _pack_offset(0))
        kernel._set_arg_buf(position + 2, pack(0))
        kernel._set_arg_buf(position + 3, _pack_int(not is_array))
        position += 4
    kernel._set_arg_buf(position, clike.pack_walk(sizes, merged, count))
    plan.spots.append(position + 1)
    plan.shifts = shifts
    return plan


def used(arrays: Sequence[Array]) -> Any:
    """This thread's lane, of which the arrays' memories take note."""
    lane = arrays[0].device.lane
    for each in arrays:
        if each.memory.lane is not lane:
            each.memory.use(lane)
    return lane


def places_of(sizes: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """All places in these dimensions; one, (), for no dimension."""
    return itertools.product(*[range(size) for size in sizes])


def stretched(array: Array, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of an array that is broadcast to a shape."""
    return (0,) * (len(shape) - len(array.shape)) + tuple(
        [0 if size == 1 else stride for size, stride in zip(array.shape, array.strides, strict=True)])


def straight(operand: Any, shape: tuple[int, ...], loop: Pointwise) -> Any:
    """A large operand as a dense array where that is faster: copies go through transposed arrays in tiles, and flat
    kernels compute slow functions in vectors."""
    if operand.__class__ is not Array or operand.dense or operand.shape != shape:
        return operand
    return contiguous(operand) if operand.strides[-1] != 1 or clike.vectors(loop) is not None else operand


def broadcast(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The shape that arrays broadcast to; ValueError where they do not."""
    rank = max(map(len, shapes))
    result = [1] * rank
    for shape in shapes:
        for d, size in enumerate(shape, rank - len(shape)):
            if size != 1 and result[d] != size:
                if result[d] != 1:
                    raise ValueError(f"shapes {', '.join(str(list(each)) for each in shapes)} do not broadcast")
                result[d] = size
    return tuple(result)


# ---------------------------------------------------------------------------------------------- the short ways
def unary(op: Operator) -> Callable[..., Array]:
    """The kernel of an operator with one operand."""
    general = General(op)
    plans = general.plans

    def kernel(a: Array, out: Array | None = None) -> Array:
        device = a.device
        plan = plans.get((a.dtype, a.size, "a", device))
        if plan is None or not a.dense or plan.fails:
            return general((a,), out)
        lane, memory, program = device.lane, a.memory, plan.kernel
        if memory.lane is not lane:
            memory.use(lane)
        result = like(a, plan.outer, lane) if out is None else plan.checked(out, a, lane)
        if result is None:
            return general((a,), out)
        with plan.lock:
            program.set_arg(0, result.memory.buffer)
            program.set_arg(2, memory.buffer)
            if [result.offset, a.offset] != plan.offsets:
                plan.put_offsets((result, a))
            plan.go(lane)
        return result
    return kernel


def binary(op: Operator) -> Callable[..., Array]:
    """The kernel of an operator with two operands."""
    general = General(op)
    plans = general.plans

    def kernel(a: Any, b: Any, out: Array | None = None) -> Array:
        if a.__class__ is not Array or not a.dense:
            return general((a, b), out)
        device = a.device
        lane, memory = device.lane, a.memory
        if memory.lane is not lane:
            memory.use(lane)
        if b.__class__ is Array:
            if not b.dense or a.shape != b.shape or a.dtype is not b.dtype:
                return general((a, b), out)
            plan, number, other = plans.get((a.dtype, a.size, "aa", device)), None, b.memory
            if other.lane is not lane:
                other.use(lane)
        else:
            plan = plans.get((a.dtype, a.size, "av", device))
            number = None if plan is None else plan.pack[1](b)
        if plan is None or plan.fails:
            return general((a, b), out)
        result = like(a, plan.outer, lane) if out is None else plan.checked(out, a, lane)
        if result is None:
            return general((a, b), out)
        program = plan.kernel
        with plan.lock:
            program.set_arg(0, result.memory.buffer)
            program.set_arg(2, memory.buffer)
            if number is None:
                program.set_arg(4, other.buffer)
                if [result.offset, a.offset, b.offset] != plan.offsets:
                    plan.put_offsets((result, a, b))
            else:
                program._set_arg_buf(4, number)
                if [result.offset, a.offset] != plan.offsets:
                    plan.put_offsets((result, a))
            plan.go(lane)
        return result
    return kernel


def several(op: Operator) -> Callable[..., Array]:
    """The kernel of an operator with any number of operands."""
    general = General(op)
    arity = len(op.parameters)

    def kernel(*operands: Any, out: Array | None = None) -> Array:
        if len(operands) > arity:
            *operands, out = operands    # type: ignore[assignment]
        return general(operands, out)
    return kernel


def kernel_of(op: Operator) -> Callable[..., Array]:
    """The kernel of an operator."""
    return {1: unary, 2: binary}.get(len(op.parameters), several)(op)


# ---------------------------------------------------------------------------------------------- powers
_POWERS: dict[float, tuple[str, Callable[[Any], Any]]] = {
    1: ("pow_1", lambda x: x ** 1), 2: ("pow_2", lambda x: x * x), 3: ("pow_3", lambda x: x * x * x),
    0.5: ("pow_half", lambda x: x ** 0.5), -0.5: ("pow_minus_half", lambda x: x ** -0.5),
    -1: ("pow_minus_1", lambda x: 1 / x)}


def powers(op: Operator) -> Callable[..., Array]:
    """`pow`, with products and roots for the exponents that people write."""
    general = binary(op)
    special = {exponent: unary(Operator(name, ("x",), expr, op.promote, op.excluded))
               for exponent, (name, expr) in _POWERS.items()}

    def kernel(a: Any, b: Any, out: Array | None = None) -> Array:
        if a.__class__ is Array and b.__class__ is not Array:
            integral = a.dtype.category <= INTEGER
            if integral and b < 0:
                raise ArgumentError("pow: Integers to negative integer powers are not allowed; convert the tensor to a "
                                    "float dtype")
            found = special.get(b)
            if found is not None and (not integral or b in (1, 2, 3)):
                return found(a, out)
        return general(a, b, out)
    return kernel


# ---------------------------------------------------------------------------------------------- the table
def from_record(record: OpDef) -> Callable[..., Array] | None:
    """The kernel of a record that states an expression, or None."""
    if record.expr is None or record.family not in ("unary", "binary", "pointwise"):
        return None
    op = Operator.of(record)
    return powers(op) if record.name == "pow" else kernel_of(op)


def follow(kernels: dict[str, Callable[..., Any]]) -> None:
    """Give operators that are registered from now on their kernels, too, in a backend's table, until they are
    withdrawn."""
    made: dict[str, Callable[..., Any]] = {}

    def listen(record: OpDef) -> None:
        if record.name not in kernels or kernels[record.name] is made.get(record.name):
            kernel = from_record(record)
            if kernel is not None:
                kernels[record.name] = made[record.name] = kernel

    def forget(record: OpDef) -> None:
        if record.name in made and kernels.get(record.name) is made[record.name]:
            del kernels[record.name]
    LISTENERS.append(listen)
    WITHDRAWALS.append(forget)


KERNELS: dict[str, Callable[..., Any]] = {
    name: kernel for name, record in OPERATORS.items() if (kernel := from_record(record)) is not None}
