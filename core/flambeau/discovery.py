"""Finding backends by device name, and `Kind`, what a tensor knows about where and what it is.

Backends are entry points in the group `flambeau.backends`; the entry point's name is the device string and its value
the `Backend` subclass. Nothing is loaded before a device of that name is asked for, so a broken or slow plugin costs
those who use it and nobody else. Loaded backends are pluggy plugins: a backend's class may also implement the hooks of
`hookspecs`.

A plugin is a stranger's code: it may raise whatever it likes, end the program or never come back. So each is loaded by
a thread of its own, from its import to the count of its devices, and whoever asked for it waits until a deadline
(FLAMBEAU_PLUGIN_TIMEOUT, in seconds, 20 by default; "inf" waits for ever). One that raises, that is late, or that
speaks no version of the contract that this core speaks, is disabled with its reason, which the error for its device and
`flambeau doctor` show, and what it registered is taken back; a late result is ignored. No lock is held meanwhile, so a
plugin may use other devices while it loads. A plugin that hangs in machine code without letting go of Python's global
lock stops the whole process, and nothing inside that process can help.
"""

from __future__ import annotations

import contextvars
import math
import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from flambeau import registry
from flambeau.backend import API_VERSIONS, Backend, Capabilities, DeviceProperties, HostBackend
from flambeau.device import device
from flambeau.dtypes import dtype
from flambeau.errors import ArgumentValueError, BackendError, DeviceError, DtypeError, message

GROUP = "flambeau.backends"
PROJECT = "flambeau"
TIMEOUT = "FLAMBEAU_PLUGIN_TIMEOUT"
_DOCTOR = "`python -m flambeau doctor` shows what was found"


class Kind:
    """The interned pair (dtype, device) of a tensor, with the backend that serves it.

    Two tensors have the same dtype and device exactly if their kinds are the same object; the dispatcher's caches
    are keyed by it. `kind.to(dtype)` is the sibling with another dtype on the same device.
    """

    __slots__ = ("_siblings", "array_type", "backend", "capabilities", "device", "differentiable", "direct", "dtype",
                 "emulated", "indirect", "index", "kernels", "native", "stored")

    def __init__(self, dtype_: dtype, device_: device, backend: Backend, siblings: dict[dtype, Kind]) -> None:
        self.dtype = dtype_
        self.device = device_
        self.index = device_.index or 0
        self.backend = backend
        self.kernels = backend.kernels
        self.array_type = backend.array_type
        self.native = backend.native_dtype(dtype_)
        self.differentiable = dtype_.is_differentiable
        self.capabilities = backend.capabilities_of(self.index)
        self.emulated = dtype_ in self.capabilities.emulated
        self.stored = dtype_.storage_only and dtype_.is_floating_point     # no kernel of arithmetic takes it, nor
        self.indirect = self.emulated or self.stored                       # what is emulated
        # The operators whose kernels take what is emulated all the same.
        self.direct = frozenset(name for name, taken in self.capabilities.native.items()
                                if self.emulated and dtype_ in taken)
        self._siblings = siblings

    @property
    def compute(self) -> Kind:
        """The kind in which arithmetic on this one is done: itself, or a wider one where the dtype is emulated."""
        return self.to(self.capabilities.emulated[self.dtype]) if self.emulated else self

    def to(self, dtype_: dtype) -> Kind:
        """The kind with this dtype on the same device. DtypeError if the device cannot store it."""
        try:
            return self._siblings[dtype_]
        except KeyError:
            return self._make(dtype_)

    def _make(self, dtype_: dtype) -> Kind:
        check_storable(dtype_, self.device, self.capabilities)
        return self._siblings.setdefault(dtype_, Kind(dtype_, self.device, self.backend, self._siblings))

    def of(self, array: Any) -> Kind:
        """The kind of an array of this backend on the same device."""
        return self.to(self.backend.dtype_of(array))

    def __repr__(self) -> str:
        return f"Kind({self.dtype}, {str(self.device)!r})"

    def __reduce__(self) -> tuple[Any, tuple[dtype, device]]:
        return kind_of, (self.dtype, self.device)


def check_storable(dtype_: dtype, where: device, capabilities: Capabilities) -> None:
    """Raise DtypeError if a device with these capabilities cannot store the dtype."""
    stored = capabilities.storage_dtypes
    if dtype_ not in stored:
        advice = next((text for wide, name, text in _INSTEAD if dtype_.name == wide and any(
            each.name == name for each in stored)), "convert on the host first, for example x.to(torch.float32)")
        raise DtypeError(message(f"device {str(where)!r}", f"cannot store {dtype_}",
                                 allowed=", ".join(sorted(each.name for each in stored)), next_step=advice))


_INSTEAD = (("float64", "float32", "use float32: x.float() before it goes there, or dtype=torch.float32"),
            ("complex128", "complex64", "use complex64: x.cfloat() before it goes there, or dtype=torch.complex64"))


_lock = threading.RLock()              # guards the tables below; never held while a plugin's code runs
_backends: dict[str, Backend] = {}
_found: dict[str, tuple[DeviceProperties, ...]] = {}   # a loaded backend's devices, as counted when it was loaded
_diagnoses: dict[str, str] = {}        # what a loaded backend without a device says of that
_disabled: dict[str, str] = {}
_offered: dict[str, Any] = {}          # device name -> entry point or class, not loaded yet
_outvoted: dict[str, list[Any]] = {}   # further entry points for a name that is taken
_loading: dict[str, _Loading] = {}
_kinds: dict[device, dict[dtype, Kind]] = {}
_manager: Any = None
_scanned = False


def plugin_manager() -> Any:
    """The pluggy manager, with the hook specifications of this project."""
    global _manager
    if _manager is None:
        import pluggy

        from flambeau import hookspecs
        manager = pluggy.PluginManager(PROJECT)
        manager.add_hookspecs(hookspecs)
        with _lock:
            _manager = _manager or manager
    return _manager


# ---------------------------------------------------------------------------------------------- who offers what
def entry_points_of(group: str) -> list[Any]:
    """The installed entry points of a group, this project's own first, then by the name of their distribution.

    The order decides between two that offer the same name. A distribution whose metadata cannot be read is passed over.
    """
    from importlib import metadata
    try:
        found: Iterable[Any] = metadata.entry_points(group=group)
    except Exception:  # noqa: BLE001 - one unreadable distribution must not hide the others
        found = [each for distribution in metadata.distributions() for each in _readable(distribution, group)]
    return sorted(found, key=_precedence)


def _readable(distribution: Any, group: str) -> list[Any]:
    try:
        return [each for each in distribution.entry_points if each.group == group]
    except Exception:  # noqa: BLE001 - as above
        return []


def _precedence(entry_point: Any) -> tuple[bool, str, str, str]:
    name = _distribution(entry_point)[0]
    return name != PROJECT, name.lower(), entry_point.name, entry_point.value


def _distribution(entry_point: Any) -> tuple[str, str]:
    """Name and version of the distribution that an entry point belongs to, empty where nothing says so."""
    try:
        return entry_point.dist.name, entry_point.dist.version
    except Exception:  # noqa: BLE001 - metadata that pip did not write
        return "", ""


def origin(offer: Any) -> str:
    """Who offers something, for people: the distribution and its version, else the entry point's value."""
    if offer is None or isinstance(offer, type):
        return "registered by the program"
    return " ".join(_distribution(offer)).strip() or str(offer.value)


def _offers() -> dict[str, Any]:
    global _scanned
    if not _scanned:
        found = entry_points_of(GROUP)
        with _lock:
            if not _scanned:
                for entry_point in found:
                    if _offered.setdefault(entry_point.name, entry_point) is not entry_point:
                        _outvoted.setdefault(entry_point.name, []).append(entry_point)
                _scanned = True
    return _offered


def offered() -> list[str]:
    """The device strings that something serves here, or would if it were not broken."""
    return sorted(_offers())


def register_backend(backend: type[Backend]) -> type[Backend]:
    """Offer a backend class without an entry point, for tests and notebooks. Returns the class."""
    offers = _offers()
    with _lock:
        offers[backend.name] = backend
        _disabled.pop(backend.name, None)
    return backend


def unregister_backend(name: str) -> None:
    """Forget a backend offered with `register_backend`; existing tensors keep working."""
    offers = _offers()
    with _lock:
        offers.pop(name, None)
        _disabled.pop(name, None)
        _forget(name)


def _forget(name: str) -> None:
    """Drop what belongs to a loaded backend, or to one that was being loaded."""
    _backends.pop(name, None)
    _found.pop(name, None)
    _diagnoses.pop(name, None)
    if _manager is not None and _manager.has_plugin(name):
        _manager.unregister(name=name)
    for key in [each for each in _kinds if each.type == name]:
        del _kinds[key]


# ---------------------------------------------------------------------------------------------- loading
def backend_for(name: str) -> Backend:
    """The backend that serves this device type, loaded at the first call.

    Raises DeviceError for a name that no plugin offers or whose plugin is disabled, with the reason.
    """
    backend = _backends.get(name)
    return _load(name) if backend is None else backend


def _load(name: str) -> Backend:
    offer = _offers().get(name)
    with _lock:
        if name in _backends:
            return _backends[name]
        if name in _disabled:
            raise DeviceError(message(f"device {name!r}", f"its backend is disabled: {_disabled[name]}",
                                      next_step=_DOCTOR))
        if offer is None:
            raise DeviceError(message(f"device {name!r}", "no installed backend serves it", allowed=_known(),
                                      next_step=hint(name)))
        loading = _loading.get(name)
        first = loading is None
        if loading is None:
            loading = _loading[name] = _Loading(name, offer)
    if first:
        loading.start()
    return loading.wait()


class _Here(threading.local):
    loading: _Loading | None = None   # what this thread loads


_here = _Here()


class _Loading:
    """One attempt to load a plugin, in a thread that may be given up."""

    def __init__(self, name: str, offer: Any) -> None:
        self.name, self.offer = name, offer
        self.backend: Backend | None = None
        self.error: BaseException | None = None
        self.records: list[registry.OpDef] = []   # what it registers, to be taken back if it fails
        self.kernels: list[tuple[dict[str, Any], str]] = []   # what it adds to other backends, likewise
        self.step = "being imported"
        self.given_up = False
        self.done = threading.Event()
        self.seconds = _seconds()
        self.deadline = time.monotonic() + self.seconds
        self.thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to load, in a new thread where that is possible and safe."""
        if not _is_imported_here(self.offer):
            self.thread = threading.Thread(target=contextvars.copy_context().run, args=(self._run,), daemon=True,
                                           name=f"loads the backend {self.name}")
            try:
                return self.thread.start()
            except RuntimeError:  # no threads on this platform, or no more: the interpreter is about to end
                pass
        self.thread = threading.current_thread()  # which imports the plugin, perhaps: another thread would wait for it
        self._run()
        if isinstance(self.error, KeyboardInterrupt):  # the user's, in this thread
            with _lock:
                _loading.pop(self.name, None)
                _forget(self.name)
                self._take_back()
            raise self.error

    def wait(self) -> Backend:
        """The loaded backend. DeviceError with the reason if it failed, or is not there in time."""
        if self.thread is threading.current_thread() and not self.done.is_set():
            if self.backend is None or self.given_up:
                raise DeviceError(message(f"device {self.name!r}", "its plugin asks for the device while it is "
                                          + self.step))
            return self.backend           # its operators' modules may use the device
        left = self.deadline - time.monotonic()
        self.done.wait(None if left == math.inf else min(max(left, 0.0), threading.TIMEOUT_MAX))
        with _lock:
            if _loading.get(self.name) is self:
                del _loading[self.name]
                self._end()
        if self.error is not None:
            said = isinstance(self.error, BackendError)    # on purpose, with what to do
            raise DeviceError(message(f"device {self.name!r}", f"its backend failed to load: {self._reason()}",
                                      next_step=_DOCTOR if said else hint(self.name))) from self.error
        assert self.backend is not None
        return self.backend

    def _end(self) -> None:
        """Publish the backend, or disable the name. The lock is held."""
        if not self.done.is_set():
            self.given_up = True
            self.error = BackendError(message("", f"it hung while {self.step}: not done after {self.seconds:g} seconds",
                                              next_step=f"set {TIMEOUT} to wait longer"))
        if self.error is None:
            assert self.backend is not None
            _backends[self.name] = self.backend
        else:
            _forget(self.name)
            self._take_back()
            _disabled[self.name] = self._reason()

    def _reason(self) -> str:
        assert self.error is not None
        return reason(self.error) + ("" if isinstance(self.error, BackendError) else f" (while {self.step})")

    def _take_back(self) -> None:
        """Undo what the plugin did to the operators and kernels of others."""
        registry.withdraw(self.records)
        while self.kernels:
            kernels, name = self.kernels.pop()
            kernels.pop(name, None)

    def _run(self) -> None:
        """What the thread does: from the import to the operators that the plugin adds."""
        before, _here.loading = _here.loading, self
        with registry.journal(self.records):
            try:
                self._steps()
            except BaseException as error:  # noqa: BLE001 - whatever it raises disables it, sys.exit() as well
                self.error = error
            self.done.set()
        _here.loading = before
        if self.given_up:  # meanwhile; the name is disabled, and what came late is taken back
            with _lock:
                self._take_back()

    def _steps(self) -> None:
        made = self.offer if isinstance(self.offer, type) else self.offer.load()
        _negotiate(self.name, made)
        self.step = "its constructor ran"
        backend: Backend = made()
        _check_attributes(self.name, backend)
        found = self._devices(backend)
        self.step = "its operators were registered"
        with _lock:
            if self.given_up:
                return
            self.backend, _found[self.name] = backend, found
            manager = plugin_manager()
            manager.register(backend, self.name)
            others = [each for each in manager.get_plugins() if each is not backend]
        manager.subset_hook_caller("flambeau_register_ops", others)()
        for record in self.records:
            record.check()

    def _devices(self, backend: Backend) -> tuple[DeviceProperties, ...]:
        self.step = "device_count() ran"
        count = backend.device_count()
        if not isinstance(count, int) or count < 0:
            raise BackendError(f"device_count() gave {count!r}; allowed: the number of devices, 0 if there is none")
        found = []
        for index in range(count):
            self.step = f"properties({index}) ran"
            found.append(backend.properties(index))
            if not isinstance(found[-1], DeviceProperties):
                raise BackendError(f"properties({index}) gave {found[-1]!r}; allowed: DeviceProperties")
        if not count:
            self.step = "diagnosis() ran"
            _diagnoses[self.name] = " ".join(str(backend.diagnosis()).split())
        return tuple(found)


def _seconds() -> float:
    """How long a plugin may take to load."""
    given = os.environ.get(TIMEOUT, "20")
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not seconds > 0:
        raise ArgumentValueError(message(TIMEOUT, "not a time", given=repr(given),
                                         allowed="a positive number of seconds, or 'inf'"))
    return seconds


def _is_imported_here(offer: Any) -> bool:
    """Whether this thread is in the middle of importing an entry point's package, or this one: it holds their locks."""
    import sys
    package = "" if isinstance(offer, type) else str(offer.value).partition(":")[0].partition(".")[0].strip()
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        module = str(frame.f_globals.get("__name__")).partition(".")[0]
        if frame.f_code.co_name == "<module>" and module in (PROJECT, package):
            return True
    return False


def reason(error: BaseException) -> str:
    """Why a plugin cannot be used, on one line."""
    text = " ".join(str(error).split())
    if isinstance(error, SystemExit):
        text = f"it ended the program with sys.exit({text})"
    return text if isinstance(error, BackendError) else f"{type(error).__name__}: {text}"


def _negotiate(name: str, made: Any) -> None:
    """Choose the highest version of the contract that both sides speak, and let the class know it."""
    if not (isinstance(made, type) and issubclass(made, Backend)):
        raise BackendError(f"the entry point {name!r} must name a subclass of flambeau.backend.Backend, not {made!r}")
    theirs = made.api_versions
    if not isinstance(theirs, (tuple, list, set, frozenset)) or not all(isinstance(each, int) for each in theirs):
        raise BackendError(f"{made.__name__}.api_versions is {theirs!r}; allowed: a tuple of the versions of the "
                           f"backend contract that it speaks, of which this Flambeau knows {_versions(API_VERSIONS)}")
    common = set(theirs) & set(API_VERSIONS)
    if not common:
        if theirs and min(theirs) > max(API_VERSIONS):
            side = "update Flambeau"
        elif theirs and max(theirs) < min(API_VERSIONS):
            side = "update the backend's package"
        else:
            side = "update both"
        raise BackendError(f"it speaks version {_versions(theirs)} of the backend contract, this Flambeau speaks "
                           f"{_versions(API_VERSIONS)}; {side}")
    made.api_version = max(common)


def _check_attributes(name: str, backend: Backend) -> None:
    """Raise BackendError if something is missing that the core reads without asking."""
    wanted: dict[str, tuple[type, str]] = {
        "name": (str, "the device string"), "capabilities": (Capabilities, "an instance of Capabilities"),
        "array_type": (type, "the type of its arrays"), "kernels": (dict, "a dict of kernels by operator")}
    for attribute, (kind, meaning) in wanted.items():
        given = getattr(backend, attribute, None)
        if not isinstance(given, kind):
            raise BackendError(f"{type(backend).__name__}.{attribute} is {given!r}; it must be {meaning}")
    if backend.name != name:
        raise BackendError(f"{type(backend).__name__}.name is {backend.name!r}, but it is offered as {name!r}; entry "
                           "point and class must have the same name")


def _versions(numbers: Iterable[int]) -> str:
    return " and ".join(map(str, sorted(numbers))) or "none"


def add_kernel(name: str, op: str, kernel: Callable[..., Any]) -> None:
    """Give a backend that is not one's own a kernel for an operator that it does not have.

    BackendError if it has one: a backend's kernels are its author's.
    """
    kernels = backend_for(name).kernels
    if op in kernels:
        raise BackendError(f"device {name!r} has a kernel for {op!r} already; it can only be changed in its package")
    kernels[op] = kernel
    if _here.loading is not None:
        _here.loading.kernels.append((kernels, op))


def _known() -> str:
    return ", ".join(sorted(name for name in _offers() if name not in _disabled)) or "none"


def hint(name: str) -> str:
    """How to get a device: the extras of this project whose name begins with the device's, else a package."""
    from importlib.metadata import PackageNotFoundError, metadata
    try:
        extras = [each for each in metadata(PROJECT).get_all("Provides-Extra") or () if each.startswith(name)]
    except PackageNotFoundError:
        extras = []
    install = " or ".join(f"pip install '{PROJECT}[{each}]'" for each in sorted(extras))
    offer = _offers().get(name)
    if offer is not None and not install:
        return f"`python -m flambeau doctor` shows more; its package is {origin(offer)}"
    install = install or "install the package that provides it"
    return f"{install}; `python -m flambeau devices` lists what this machine has"


def host() -> HostBackend:
    """The backend whose arrays are host arrays: the way in and out for Python values."""
    backend = backend_for("cpu")
    assert isinstance(backend, HostBackend)
    return backend


def resolve(where: Any) -> device:
    """A device in its canonical form: a host has no index, others always have one. DeviceError if it is not there."""
    found = _resolve(where if isinstance(where, device) else device(where))
    return _devices.setdefault(found, found)


# One object per device, so that the dispatcher may compare devices by identity.
_devices: dict[device, device] = {}


def _resolve(wanted: device) -> device:
    backend = backend_for(wanted.type)
    if backend.capabilities.host:
        return wanted if wanted.index is None else device(wanted.type)
    count = len(_found[wanted.type])
    index = current_index(wanted.type) if wanted.index is None else wanted.index
    if not count:
        raise DeviceError(message(f"device {str(wanted)!r}", diagnosis(wanted.type)))
    if index >= count:
        have = f"{count} device{'s' if count != 1 else ''} of this type"
        raise DeviceError(message(f"device {str(wanted)!r}", "invalid device ordinal", given=f"index {index}",
                                  allowed=have, next_step="`python -m flambeau devices` lists what this machine has"))
    return wanted if wanted.index is not None else device(wanted.type, index)


def diagnosis(name: str) -> str:
    """Why a backend that is loaded has no device, and what to do next, as it says itself, or in general."""
    return _diagnoses.get(name) or ("there is no device of this type: its backend works, but found none; is the driver "
                                    "installed? `python -m flambeau devices` lists what this machine has")


_current = threading.local()


def current_index(name: str) -> int:
    """The index that a device string without one means in this thread: 0 unless set."""
    return int(getattr(_current, name, 0))


def set_current_index(name: str, index: int) -> None:
    """Make `index` the device that `name` without an index means in this thread."""
    resolve(device(name, index))
    setattr(_current, name, index)


def kind_of(dtype_: dtype, where: Any) -> Kind:
    """The interned kind of a dtype on a device."""
    wanted = where if isinstance(where, device) else device(where)
    siblings = _kinds.get(wanted)
    if siblings is None:
        canonical = resolve(wanted)
        siblings = _kinds.setdefault(canonical, {})
        if wanted.index is not None:  # an index-free name may mean another device later; it is not cached
            _kinds[wanted] = siblings
        wanted = canonical
    found = siblings.get(dtype_)
    if found is None:
        backend, canonical = backend_for(wanted.type), resolve(wanted)
        check_storable(dtype_, canonical, backend.capabilities_of(canonical.index or 0))
        found = siblings.setdefault(dtype_, Kind(dtype_, canonical, backend, siblings))
    return found


def report() -> list[dict[str, Any]]:
    """What `devices` and `doctor` show: every offered backend with its devices or the reason why it is disabled.

    A row holds "name", "devices" as (device, properties), "reason", "diagnosis" (of a backend without a device),
    "origin", and "outvoted": the origins of further plugins for the same name, which are not used.
    """
    rows: list[dict[str, Any]] = []
    for name in sorted(set(_offers()) | set(_disabled)):
        row: dict[str, Any] = {"name": name, "devices": [], "reason": "", "diagnosis": "",
                               "origin": origin(_offers().get(name)),
                               "outvoted": [origin(each) for each in _outvoted.get(name, ())]}
        try:
            alone = backend_for(name).capabilities.host
            row["devices"] = [(device(name) if alone else device(name, index), properties)
                              for index, properties in enumerate(_found[name])]
            row["diagnosis"] = "" if _found[name] else diagnosis(name)
        except DeviceError as error:
            row["reason"] = _disabled.get(name, str(error))
        rows.append(row)
    return rows


def is_available(name: str) -> bool:
    """Whether a device of this type can be used right now."""
    return device_count(name) > 0


def device_count(name: str) -> int:
    """How many devices of this type there were when its backend was loaded; 0 where none serves it."""
    try:
        backend_for(name)
    except DeviceError:
        return 0
    return len(_found[name])
