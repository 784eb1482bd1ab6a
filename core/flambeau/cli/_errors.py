"""The error of the command line: what was asked for cannot be done, and what to do about it."""

from __future__ import annotations

from flambeau.errors import ArgumentValueError


class UsageError(ArgumentValueError):
    """Shown as one line on standard error, with exit status 2; its message says the next step."""
