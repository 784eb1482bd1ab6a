"""Finding backends by device name, and `Kind`, what a tensor knows about where and what it is.

Backends are entry points in the group `flambeau.backends`; the entry point's name is the device string and its value
the `Backend` subclass. Nothing is loaded before a device of that name is asked for, so a broken or slow plugin costs
those who use it and nobody else. A plugin that cannot be loaded is disabled with its reason, which the error for its
device and `flambeau doctor` show. Loaded backends are pluggy plugins: a backend's class may also implement the other
hooks below.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from flambeau.backend import API_VERSION, Backend, HostBackend
from flambeau.device import device
from flambeau.dtypes import dtype
from flambeau.errors import BackendError, DeviceError, DtypeError, message

GROUP = "flambeau.backends"
PROJECT = "flambeau"


class Kind:
    """The interned pair (dtype, device) of a tensor, with the backend that serves it.

    Two tensors have the same dtype and device exactly if their kinds are the same object; the dispatcher's caches
    are keyed by it. `kind.to(dtype)` is the sibling with another dtype on the same device.
    """

    __slots__ = ("_siblings", "array_type", "backend", "device", "differentiable", "dtype", "emulated",
                 "index", "kernels", "native")

    def __init__(self, dtype_: dtype, device_: device, backend: Backend, siblings: dict[dtype, Kind]) -> None:
        self.dtype = dtype_
        self.device = device_
        self.index = device_.index or 0
        self.backend = backend
        self.kernels = backend.kernels
        self.array_type = backend.array_type
        self.native = backend.native_dtype(dtype_)
        self.differentiable = dtype_.is_differentiable
        self.emulated = dtype_ in backend.capabilities.emulated
        self._siblings = siblings

    @property
    def compute(self) -> Kind:
        """The kind in which arithmetic on this one is done: itself, or a wider one where the dtype is emulated."""
        return self.to(self.backend.capabilities.emulated[self.dtype]) if self.emulated else self

    def to(self, dtype_: dtype) -> Kind:
        """The kind with this dtype on the same device. DtypeError if the device cannot store it."""
        try:
            return self._siblings[dtype_]
        except KeyError:
            return self._make(dtype_)

    def _make(self, dtype_: dtype) -> Kind:
        check_storable(self.backend, dtype_)
        return self._siblings.setdefault(dtype_, Kind(dtype_, self.device, self.backend, self._siblings))

    def of(self, array: Any) -> Kind:
        """The kind of an array of this backend on the same device."""
        return self.to(self.backend.dtype_of(array))

    def __repr__(self) -> str:
        return f"Kind({self.dtype}, {str(self.device)!r})"

    def __reduce__(self) -> tuple[Any, tuple[dtype, device]]:
        return kind_of, (self.dtype, self.device)


def check_storable(backend: Backend, dtype_: dtype) -> None:
    """Raise DtypeError if this backend's devices cannot store the dtype."""
    if dtype_ not in backend.capabilities.storage_dtypes:
        names = ", ".join(sorted(each.name for each in backend.capabilities.storage_dtypes))
        raise DtypeError(message(f"device {backend.name!r}", f"cannot store {dtype_}", allowed=names,
                                 next_step="convert on the host first, for example x.to(torch.float32)"))


_lock = threading.RLock()
_backends: dict[str, Backend] = {}
_disabled: dict[str, str] = {}
_offered: dict[str, Any] = {}          # device name -> entry point or class, not loaded yet
_kinds: dict[device, dict[dtype, Kind]] = {}
_aliases: dict[str, str] = {}
_manager: Any = None
_scanned = False


def plugin_manager() -> Any:
    """The pluggy manager, with the hook specifications of this project."""
    global _manager
    if _manager is None:
        import pluggy

        from flambeau import hookspecs
        _manager = pluggy.PluginManager(PROJECT)
        _manager.add_hookspecs(hookspecs)
    return _manager


def _offers() -> dict[str, Any]:
    global _scanned
    if not _scanned:
        from importlib.metadata import entry_points
        for entry_point in entry_points(group=GROUP):
            _offered.setdefault(entry_point.name, entry_point)
        _scanned = True
    return _offered


def register_backend(backend: type[Backend]) -> type[Backend]:
    """Offer a backend class without an entry point, for tests and notebooks. Returns the class."""
    with _lock:
        _offers()[backend.name] = backend
        _disabled.pop(backend.name, None)
    return backend


def unregister_backend(name: str) -> None:
    """Forget a backend offered with `register_backend`; existing tensors keep working."""
    with _lock:
        _offers().pop(name, None)
        _disabled.pop(name, None)
        if _backends.pop(name, None) is not None:
            plugin_manager().unregister(name=name)
        for key in [each for each in _kinds if each.type == name]:
            del _kinds[key]


def backend_for(name: str) -> Backend:
    """The backend that serves this device type, loaded at the first call.

    Raises DeviceError for a name that no plugin offers or whose plugin is disabled, with the reason.
    """
    backend = _backends.get(name)
    if backend is not None:
        return backend
    with _lock:
        backend = _backends.get(name)
        if backend is None:
            backend = _load(name)
        return backend


def _load(name: str) -> Backend:
    if name in _disabled:
        raise DeviceError(message(f"device {name!r}", f"its backend is disabled: {_disabled[name]}",
                                  next_step="`python -m flambeau doctor` shows what was found"))
    offer = _offers().get(name)
    if offer is None:
        raise DeviceError(message(f"device {name!r}", "no installed backend serves it", allowed=_known(),
                                  next_step=_hint(name)))
    try:
        made = offer if isinstance(offer, type) else offer.load()
        backend = _checked(name, made)
    except Exception as error:  # a stranger's code: whatever it raises disables it and is kept as the reason
        raise _disable(name, error) from error
    _backends[name] = backend  # before its operators, which may ask for it
    manager = plugin_manager()
    manager.register(backend, name)
    try:
        manager.subset_hook_caller(
            "flambeau_register_ops", [each for each in manager.get_plugins() if each is not backend])()
    except Exception as error:  # as above
        del _backends[name]
        manager.unregister(backend)
        raise _disable(name, error) from error
    return backend


def _disable(name: str, error: Exception) -> DeviceError:
    """Remember why a backend cannot be used; the error to raise."""
    _disabled[name] = f"{type(error).__name__}: {error}"
    return DeviceError(message(f"device {name!r}", f"its backend failed to load: {_disabled[name]}",
                               next_step=_hint(name)))


def _checked(name: str, made: Any) -> Backend:
    if not (isinstance(made, type) and issubclass(made, Backend)):
        raise BackendError(f"the entry point {name!r} must name a subclass of flambeau.backend.Backend, not {made!r}")
    if made.api_version != API_VERSION:
        raise BackendError(f"it speaks version {made.api_version} of the backend contract, this Flambeau speaks "
                           f"{API_VERSION}; install matching versions")
    return made()


def add_kernel(name: str, op: str, kernel: Callable[..., Any]) -> None:
    """Give a backend that is not one's own a kernel for an operator that it does not have.

    BackendError if it has one: a backend's kernels are its author's.
    """
    kernels = backend_for(name).kernels
    if op in kernels:
        raise BackendError(f"device {name!r} has a kernel for {op!r} already; it can only be changed in its package")
    kernels[op] = kernel


def _known() -> str:
    return ", ".join(sorted(name for name in _offers() if name not in _disabled)) or "none"


def _hint(name: str) -> str:
    """How to get a device: the extras of this project whose name begins with the device's, else a package."""
    from importlib.metadata import PackageNotFoundError, metadata
    try:
        extras = [each for each in metadata(PROJECT).get_all("Provides-Extra") or () if each.startswith(name)]
    except PackageNotFoundError:
        extras = []
    install = " or ".join(f"pip install '{PROJECT}[{each}]'" for each in sorted(extras))
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
    count = backend.device_count()
    index = current_index(wanted.type) if wanted.index is None else wanted.index
    if index >= count:
        have = f"{count} device{'s' if count != 1 else ''} of this type" if count else "no device of this type"
        raise DeviceError(message(f"device {str(wanted)!r}", "invalid device ordinal", given=f"index {index}",
                                  allowed=have, next_step="`python -m flambeau devices` lists what this machine has"))
    return wanted if wanted.index is not None else device(wanted.type, index)


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
        backend = backend_for(wanted.type)
        check_storable(backend, dtype_)
        found = siblings.setdefault(dtype_, Kind(dtype_, resolve(wanted), backend, siblings))
    return found


def report() -> list[dict[str, Any]]:
    """What `devices` and `doctor` show: every offered backend with its devices or the reason why it is disabled."""
    rows: list[dict[str, Any]] = []
    for name in sorted(set(_offers()) | set(_disabled)):
        row: dict[str, Any] = {"name": name, "devices": [], "reason": "", "origin": _origin(_offers().get(name))}
        try:
            backend = backend_for(name)
            row["devices"] = [(device(name) if backend.capabilities.host else device(name, index),
                               backend.properties(index)) for index in range(backend.device_count())]
        except DeviceError as error:
            row["reason"] = _disabled.get(name, str(error))
        except Exception as error:  # noqa: BLE001 - a stranger's driver: what it raises is what is to be shown
            row["reason"] = f"{type(error).__name__}: {error}"
        rows.append(row)
    return rows


def _origin(offer: Any) -> str:
    if offer is None or isinstance(offer, type):
        return "registered by the program"
    distribution = getattr(offer, "dist", None)
    return f"{distribution.name} {distribution.version}" if distribution else str(offer.value)


def is_available(name: str) -> bool:
    """Whether a device of this type can be used right now."""
    try:
        return backend_for(name).device_count() > 0
    except DeviceError:
        return False


def device_count(name: str) -> int:
    """How many devices of this type there are; 0 where no backend serves it."""
    return backend_for(name).device_count() if is_available(name) else 0
