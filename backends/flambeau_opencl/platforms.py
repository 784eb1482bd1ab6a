"""Which OpenCL devices there are, in an order that stays the same, and what to do where there are none.

GPUs come first, then other accelerators, then processors; within a kind the drivers' own order holds.
FLAMBEAU_OPENCL_DEVICES chooses and orders: "0,2" by number in that order, "gpu", "cpu" or "accelerator" by kind, any
other word by a part of a device's name, vendor or platform, in any case.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyopencl as cl

from flambeau.errors import BackendError, message

CHOICE = "FLAMBEAU_OPENCL_DEVICES"
_KINDS = {"gpu": cl.device_type.GPU, "accelerator": cl.device_type.ACCELERATOR, "cpu": cl.device_type.CPU}

_DRIVERS = {
    "Linux": "AMD: the package rocm-opencl-runtime or mesa-opencl-icd; Intel: intel-opencl-icd; NVIDIA: "
             "libnvidia-opencl1 of the driver's own version (in a container: "
             "NVIDIA_DRIVER_CAPABILITIES=compute,utility)",
    "Darwin": "macOS brings its own OpenCL, which pyopencl finds unless it was built against another loader: "
              "pip install --force-reinstall pyopencl",
    "Windows": "the graphics driver of AMD, Intel or NVIDIA brings OpenCL; install its current version"}
_ANYWHERE = ("pip install 'flambeau[opencl]' brings PoCL, which runs on any processor; then `python -m flambeau "
             "doctor` shows what was found, as `clinfo -l` does")


def found() -> tuple[list[Any], list[str]]:
    """All devices that can be used, in order, and remarks about what cannot."""
    remarks: list[str] = []
    handles: list[Any] = []
    try:
        platforms = cl.get_platforms()
    except cl.Error as error:    # the loader is there, and knows of no driver
        return [], [f"no OpenCL driver is installed ({error})"]
    for each in platforms:
        try:
            with _in_batch():
                devices = each.get_devices()
        except cl.Error as error:
            remarks.append(f"the platform {each.name!r} cannot list its devices ({error})")
            continue
        for handle in devices:
            if handle.available and handle.compiler_available:
                handles.append(handle)
            else:
                remarks.append(f"{handle.name} of {each.name!r} is "
                               + ("without a compiler" if handle.available else "not available"))
        if not devices:
            remarks.append(f"the platform {each.name!r} has no device")
    handles.sort(key=_rank)      # stable
    return handles, remarks or ["no OpenCL driver is installed"]


@contextmanager
def _in_batch() -> Iterator[None]:
    """Let the threads that a driver starts here, those that run kernels on processors, be batch threads.

    Such a thread is woken by each launch. An ordinary one then takes the processor from the very thread that launches
    (Linux likes to wake it there), which doubles the price of a small launch; a batch thread waits for its turn, or
    goes to an idle processor. It has the same share of time.
    """
    if not hasattr(os, "SCHED_BATCH") or os.sched_getscheduler(0) != os.SCHED_OTHER:
        yield
        return
    try:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))    # of this thread; new threads inherit it
    except OSError:    # a sandbox may forbid it
        yield
        return
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def _rank(handle: Any) -> int:
    return next((rank for rank, kind in enumerate(_KINDS.values()) if handle.type & kind), len(_KINDS))


def chosen(handles: Sequence[Any], choice: str) -> list[Any]:
    """The devices that a value of FLAMBEAU_OPENCL_DEVICES names, in its order; BackendError for what is not there."""
    picked: list[Any] = []
    for word in choice.split(","):
        term = word.strip()
        if not term:
            continue
        if term.isdigit():
            matching = [handles[int(term)]] if int(term) < len(handles) else []
        else:
            matches = _matcher(term.lower())
            matching = [each for each in handles if matches(each)]
        if not matching:
            raise BackendError(message(
                CHOICE, f"no OpenCL device for {term!r}", given=repr(choice), allowed="; ".join(
                    f"{number}: {described(each)}" for number, each in enumerate(handles)) or "there is none",
                next_step=f"numbers, 'gpu', 'cpu', or a part of a name, with commas between; or unset {CHOICE}"))
        picked += [each for each in matching if each not in picked]
    return picked


def _matcher(term: str) -> Callable[[Any], bool]:
    kind = _KINDS.get(term)
    if kind is not None:
        return lambda handle: bool(handle.type & kind)
    return lambda handle: term in " ".join((handle.name, handle.vendor, handle.platform.name)).lower()


def described(handle: Any) -> str:
    """A device for people."""
    kind = next((name for name, each in _KINDS.items() if handle.type & each), "other")
    return f"{handle.name.strip()} ({kind}, {handle.platform.name.strip()})"


def devices() -> tuple[list[Any], list[str]]:
    """`found`, less what FLAMBEAU_OPENCL_DEVICES leaves out."""
    handles, remarks = found()
    choice = os.environ.get(CHOICE, "")
    return (chosen(handles, choice) if choice.strip() else handles), remarks


def advice(remarks: Sequence[str]) -> str:
    """Why there is no device, and how to get one."""
    system = _DRIVERS.get(platform.system(), "install the OpenCL driver of the hardware")
    return f"{'; '.join(remarks)}. Next step: install a driver: {system}; or {_ANYWHERE}"
