"""The hooks that a plugin may implement, as pluggy specifications.

A backend's class is itself the plugin object, so a hook is one more method on it, marked with `hookimpl`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pluggy

hookspec = pluggy.HookspecMarker("flambeau")
hookimpl = pluggy.HookimplMarker("flambeau")


@hookspec
def flambeau_register_ops() -> None:
    """Register further operators, with the decorators of `flambeau.dispatch`; called once, when the plugin loads.

    The plugin's own device can be used from here on. If this raises, the backend is disabled and what was registered is
    taken back.
    """


@hookspec
def flambeau_conformance_cases() -> Iterable[Any]:  # type: ignore[empty-body]
    """Further conformance cases for the operators that this plugin adds."""
