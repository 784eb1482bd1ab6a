"""Where a report was made: versions, device, driver, platform and date, so that it can be made again."""

from __future__ import annotations

import datetime
import platform
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from typing import Any

from flambeau import discovery
from flambeau.backend import Backend

NOT_RUN = "simulated: not run on a GPU"
DRIVER_WORDS = ("driver", "runtime", "platform", "version")  # parts of the names under which devices tell it


def environment(device: str, seed: int = 0) -> dict[str, Any]:
    """What can be said of this machine and of `device`; values that are not known are empty strings.

    A simulated device in the place of a GPU has that in its name, so that whatever shows the name says it.

    Raises DeviceError for a device that is not there.
    """
    where = discovery.resolve(device)
    backend = discovery.backend_for(where.type)
    properties = backend.properties(where.index or 0)
    extra = {str(name): str(value) for name, value in properties.extra.items()}
    package, package_version = _package(backend)
    stands_in = backend.capabilities_of(where.index or 0).simulated and extra.get("type") == "gpu"
    return {
        "flambeau": _version("flambeau"),
        "python": platform.python_version(),
        "numpy": _version("numpy"),
        "torch": _version("torch"),
        "backend": package,
        "backend_version": package_version,
        "device": str(where),
        "device_name": f"{properties.name}, {NOT_RUN}" if stands_in else properties.name,
        "driver": ", ".join(f"{name} {value}" for name, value in extra.items()
                            if any(word in name.lower() for word in DRIVER_WORDS)),
        "extra": extra,
        "simulated": NOT_RUN if stands_in else "",     # a fake device for tests is no GPU, and nobody takes it for one
        "memory": properties.total_memory,
        "platform": platform.platform(),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "seed": seed,
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _package(backend: Backend) -> tuple[str, str]:
    """The distribution that a backend's class comes from, with its version; the module's name where there is none."""
    module = type(backend).__module__
    top = module.partition(".")[0]
    found = packages_distributions().get(top, [])
    name = found[0] if found else "flambeau" if top.startswith("flambeau_") else ""
    if name:
        return name, _version(name)
    return module, str(getattr(sys.modules.get(top), "__version__", ""))
