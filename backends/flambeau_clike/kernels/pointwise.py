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

from flambeau import dtypes as fd
from flambeau.dtypes import BOOL, INTEGER, dtype
from flambeau.errors import ArgumentError, FlambeauError
from flambeau.ir import clike, prelude
from flambeau.ir.dialect import C_TYPES, RANK, STRUCT_FORMATS
from flambeau.ir.expr import trace
from flambeau.ir.loops import Operand, Pointwise, Result
from flambeau.registry import LISTENERS, OPERATORS, WITHDRAWALS, OpDef
from flambeau.shapes import broadcast_shapes
from flambeau_clike.array import Array, empty, like
from flambeau_clike.kernels.movement import collapse, contiguous
from flambeau_clike.launch import NARROW

COMPUTED = tuple(each for each in fd.ALL if not each.storage_only and each not in (fd.float16, fd.bfloat16))
LARGE = 1 << 15        # elements from which it pays to copy an operand first, where its layout makes a kernel slow
PLANS = 4096           # that an operator keeps; with more, it starts anew
_FORMS = {1: ("a",), 2: ("aa", "av", "va"), 3: ("aaa", "aav", "ava", "avv"), 4: ("aaaa", "aaav", "avvv")}
_pack_offset = struct.Struct("=q").pack
_pack_int = struct.Struct("=i").pack


class Operator:
    """The loops of one operator by the dtype that it computes in, and its programs."""

    def __init__(self, name: str, parameters: Sequence[str], expr: Callable[..., Any], promote: Any,
                 excluded: Sequence[int] = (), uncast: Sequence[int] = ()) -> None:
        self.name, self.parameters, self.uncast = name, tuple(parameters), frozenset(uncast)
        self.expr, self.promote, self.excluded = expr, promote, excluded
        self.forms = _FORMS.get(len(self.parameters), ("a" * len(self.parameters),))
        self._loops: dict[dtype, Pointwise] | None = None
        self._texts: dict[tuple[bool, bool, dtype | None], str] = {}

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

    def kernel(self, device: Any, kind: dtype, form: str, wide: bool, what: str = "") -> Any:
        """A new kernel object: a form of operands, or "s" for any strides; `what` is the call, for errors."""
        text = self.text(device.traits.fp64, kind.is_complex, kind if device.programs.apart else None)
        return device.programs.create(text, self.name,
                                      f"{self.name}_{C_TYPES[kind]}_{form}", wide, what)

    def text(self, fp64: bool, is_complex: bool, only: dtype | None = None) -> str:
        """The program for all real dtypes, or all complex ones, or for one."""
        found = self._texts.get((fp64, is_complex, only))
        if found is None:
            found = self._texts[fp64, is_complex, only] = self._render(fp64, is_complex, only)
        return found

    def _render(self, fp64: bool, is_complex: bool, only: dtype | None) -> str:
        loops = {kind: loop for kind, loop in self.loops.items() if kind.is_complex is is_complex
                 and only in (None, kind)
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


class Shared:
    """A kernel object, which is costly to make, and the plan that its arguments were last set for."""

    __slots__ = ("current", "kernel")

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self.current: Plan | None = None


class Plan:
    """A kernel that is ready but for buffers, offsets that are not what they were last time, and numbers.

    `places` has the parameters' positions of the memories of the result and of the operands that are arrays, in order,
    the next position being the offset's; `arrays` the positions of these operands; `numbers`, for each other operand,
    its position, how it becomes bytes, the position of its value, and that of a memory that is not read, or 0; `fixed`
    the parameters that are the same in each launch of this plan.
    """

    __slots__ = ("arrays", "device", "enqueue", "errors", "fails", "fixed", "global_size", "kernel", "latest",
                 "local_size", "lock", "name", "numbers", "offsets", "op", "outer", "pack", "places", "shared",
                 "shifts")

    def __init__(self, op: Operator, device: Any, loop: Pointwise, shared: Shared, items: int) -> None:
        self.op, self.device, self.lock = op.name, device, device.lock
        self.enqueue = device.enqueue
        self.shared, self.kernel = shared, shared.kernel
        self.name, self.latest = shared.kernel.function_name, device.faults.latest
        self.outer = loop.results[0].dtype
        self.global_size, self.local_size = device.sizes(items)
        self.fails = clike.can_fail(loop)
        self.pack = [packer(each.dtype) for each in loop.operands]
        self.places = [0]
        self.arrays: list[int] = []
        self.numbers: list[tuple[int, Callable[[Any], bytes], int, int]] = []
        self.fixed: list[tuple[int, bytes]] = []
        self.errors = 0
        self.offsets: list[int] = []
        self.shifts: list[tuple[int, ...]] | None = None    # of several launches, what is added to the offsets

    def checked(self, out: Array, like: Array, lane: Any) -> Array | None:
        """`out`, if the plan's kernel can write to it; else None."""
        if not out.dense or out.shape != like.shape or out.dtype is not self.outer:
            return None
        if out.memory.lane is not lane:
            out.memory.use(lane)
        return out

    def put_offsets(self, offsets: list[int]) -> None:
        """Set the offsets of the result and of the operands that are arrays."""
        for position, each in zip(self.places, offsets, strict=True):
            self.kernel._set_arg_buf(position + 1, _pack_offset(each))
        self.offsets = offsets

    def go(self, lane: Any) -> None:
        """Launch the kernel in a lane, buffers, numbers and `offsets` being set."""
        if self.shared.current is not self:
            for position, value in self.fixed:
                self.kernel._set_arg_buf(position, value)
            self.put_offsets(self.offsets)
            self.shared.current = self
        self.latest.append(self.name)
        try:
            self.enqueue(lane.queue, self.kernel, self.global_size, self.local_size)
        except self.device.error as error:
            self.device.recover(
                error, lambda: self.enqueue(lane.queue, self.kernel, self.global_size, self.local_size))

    def launch(self, operands: Sequence[Any], result: Array, lane: Any) -> None:
        """Set everything and launch."""
        kernel = self.kernel
        values = [pack(operands[index]) for index, pack, _, _ in self.numbers]
        buffer = result.memory.buffer
        offsets = [result.offset]
        with self.lock:
            kernel.set_arg(0, buffer)
            for index, place in zip(self.arrays, self.places[1:], strict=True):
                each = operands[index]
                memory = each.memory
                if memory.lane is not lane:
                    memory.use(lane)
                kernel.set_arg(place, memory.buffer)
                offsets.append(each.offset)
            for (_, _, place, unread), value in zip(self.numbers, values, strict=True):
                kernel._set_arg_buf(place, value)
                if unread:
                    kernel.set_arg(unread, buffer)
            if self.fails or self.shifts is not None:
                self.launch_others(operands, offsets, lane)
                return
            if offsets != self.offsets:
                self.put_offsets(offsets)
            self.go(lane)

    def launch_others(self, operands: Sequence[Any], offsets: list[int], lane: Any) -> None:
        """Launch a kernel that can fail, or one that is needed several times; what is left to set are offsets."""
        if self.fails:
            buffer, number = self.device.faults.register(self.op, [operands[index] for index in self.arrays])
            self.kernel.set_arg(self.errors, buffer)
            self.kernel._set_arg_buf(self.errors + 1, _pack_int(number))
        for shift in self.shifts or ((0,) * len(offsets),):
            self.put_offsets([offset + more for offset, more in zip(offsets, shift, strict=True)])
            self.go(lane)


def described(op: Operator, operands: Sequence[Any]) -> str:
    """A call, for errors."""
    arrays = [f"{each.dtype} {list(each.shape)}" for each in operands if each.__class__ is Array]
    return f"{op.name}({', '.join(arrays)})"


def flat_plan(general: General, device: Any, kind: dtype, form: str, operands: Sequence[Any], size: int) -> Plan:
    """The plan for dense arrays of one size and numbers."""
    shared = general.shared(device, kind, form, size > NARROW, operands)
    plan = Plan(general.op, device, general.op.loop(kind), shared, size)
    position = 2
    for index, how in enumerate(form):
        if how == "a":
            plan.arrays.append(index)
            plan.places.append(position)
            position += 2
        else:
            plan.numbers.append((index, plan.pack[index], position, 0))
            position += 1
    plan.fixed.append((position, _pack_offset(size)))
    plan.errors = position + 1
    return plan


def strided_plan(general: General, device: Any, kind: dtype, operands: Sequence[Any], result: Array) -> Plan:
    """The plan for arrays of any strides, and numbers."""
    shape = result.shape
    strides = [result.strides, *[stretched(each, shape) if each.__class__ is Array else (0,) * len(shape)
                                 for each in operands]]
    sizes, merged = collapse(shape, *strides)
    if not sizes:
        sizes, merged = [1], [[0] for _ in merged]
    outer, sizes = sizes[:-RANK], sizes[-RANK:]
    inner = [each[-RANK:] for each in merged]
    count = math.prod(sizes)
    reach = max(sum((size - 1) * stride for size, stride in zip(sizes, each, strict=True)) for each in inner)
    shared = general.shared(device, kind, "s", max(count, reach) > NARROW, operands)
    plan, position = Plan(general.op, device, general.op.loop(kind), shared, count), 2
    for index, (each, pack) in enumerate(zip(operands, plan.pack, strict=True)):
        is_array = each.__class__ is Array
        if is_array:
            plan.arrays.append(index)
            plan.places.append(position)
        else:
            plan.numbers.append((index, pack, position + 2, position))
        plan.fixed.append((position + 2, pack(0)) if is_array else (position + 1, _pack_offset(0)))
        plan.fixed.append((position + 3, _pack_int(not is_array)))
        position += 4
    plan.fixed.append((position, clike.pack_walk(sizes, inner, count)))
    plan.errors = position + 1
    if outer:
        moving = [merged[0], *[merged[1 + index] for index in plan.arrays]]
        plan.shifts = [tuple(sum(place * each[d] for d, place in enumerate(places)) for each in moving)
                       for places in itertools.product(*[range(size) for size in outer])]
    return plan


# ---------------------------------------------------------------------------------------------- the general way
def _is_flat(operands: Sequence[Any], shape: tuple[int, ...], out: Array | None) -> bool:
    return (out is None or out.dense) and all(
        each.dense and each.shape == shape for each in operands if each.__class__ is Array)


class General:
    """Calls with any operands: finds what they are, and a plan for it.

    `plans` has those for dense arrays of one size, by (dtype, size, form, device), and those for strides; `calls` has a
    plan and the result's shape for what was called like this before.
    """

    def __init__(self, op: Operator) -> None:
        self.op = op
        self.arity = len(op.parameters)
        self.promoted = [position for position in range(self.arity) if position not in op.uncast]
        self.plans: dict[Any, Plan] = {}
        self.calls: dict[Any, tuple[Plan, tuple[int, ...]]] = {}
        self.kernels: dict[Any, Shared] = {}

    def __call__(self, operands: Sequence[Any], out: Array | None = None) -> Array:
        """The result of a call, in `out` if that is given."""
        if out is not None:
            return self.other(operands, out, None)
        key = tuple([(each.dtype, each.shape, each.strides, each.device) if each.__class__ is Array else None
                     for each in operands])
        found = self.calls.get(key)
        if found is None:
            return self.other(operands, None, key)
        plan, shape = found
        result = empty(shape, plan.outer, plan.device)
        plan.launch(operands, result, plan.device.lane)
        return result

    def other(self, operands: Sequence[Any], out: Array | None, key: Any) -> Array:
        """A call that none was like before."""
        arrays = [each for each in operands if each.__class__ is Array]
        device, shape = arrays[0].device, arrays[0].shape
        kind = next((operands[position].dtype for position in self.promoted
                     if operands[position].__class__ is Array), arrays[0].dtype)
        if any(each.shape != shape for each in arrays):
            shape = broadcast_shapes(*[each.shape for each in arrays], op=self.op.name)
        loop = self.op.loop(kind)
        if any(each.__class__ is Array and each.dtype is not wanted.dtype
               for each, wanted in zip(operands, loop.operands, strict=True)):
            raise TypeError(f"{self.op.name}: operands of {', '.join(str(each.dtype) for each in arrays)}, where "
                            f"{', '.join(str(each.dtype) for each in loop.operands)} are expected")
        straightened = [straight(each, shape, loop) for each in operands] if math.prod(shape) >= LARGE else operands
        result = self.target(loop, shape, device, out)
        if result.size:
            plan = self.plan(device, kind, straightened, result, out)
            if key is not None and all(each is before for each, before in zip(straightened, operands, strict=True)):
                remember(self.calls, key, (plan, shape))
            lane = device.lane
            if result.memory.lane is not lane:
                result.memory.use(lane)
            plan.launch(straightened, result, lane)
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

    def plan(self, device: Any, kind: dtype, operands: Sequence[Any], result: Array, out: Array | None) -> Plan:
        """The plan for a call."""
        form = "".join(["a" if each.__class__ is Array else "v" for each in operands])
        if form in self.op.forms and _is_flat(operands, result.shape, out):
            key: Any = (kind, result.size, form, device)
            found = self.plans.get(key)
            return found or remember(self.plans, key, flat_plan(self, device, kind, form, operands,
                                                                 result.size))
        key = (kind, form, device, result.shape, result.strides,
               *[(each.shape, each.strides) for each in operands if each.__class__ is Array])
        found = self.plans.get(key)
        return found or remember(self.plans, key, strided_plan(self, device, kind, operands, result))

    def shared(self, device: Any, kind: dtype, form: str, wide: bool, operands: Sequence[Any]) -> Shared:
        """The kernel object for a form, or for strides."""
        key = (device, kind, form, wide)
        found = self.kernels.get(key)
        if found is None:
            kernel = self.op.kernel(device, kind, form, wide, described(self.op, operands))
            found = self.kernels.setdefault(key, Shared(kernel))
        return found


def remember(plans: dict[Any, Any], key: Any, plan: Any) -> Any:
    """Keep a plan; of too many, none."""
    if len(plans) >= PLANS:
        plans.clear()
    plans[key] = plan
    return plan


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
                plan.put_offsets([result.offset, a.offset])
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
                    plan.put_offsets([result.offset, a.offset, b.offset])
            else:
                program._set_arg_buf(4, number)
                if [result.offset, a.offset] != plan.offsets:
                    plan.put_offsets([result.offset, a.offset])
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
