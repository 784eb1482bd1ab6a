"""`torch.special`: special functions under SciPy's names. What `torch` has as well is the same operator here."""

from __future__ import annotations

from typing import Any

from flambeau.registry import ALIASES, OPERATORS

_SAME = {name: name for name in (
    "digamma", "erf", "erfc", "erfinv", "exp2", "expm1", "i0", "log1p", "log_softmax", "logit", "logsumexp",
    "polygamma", "round", "sinc", "softmax", "xlogy")}
_NAMES = {**_SAME, "expit": "sigmoid", "gammaln": "lgamma", "psi": "digamma", "multigammaln": "mvlgamma",
          "gammainc": "igamma", "gammaincc": "igammac"}
_OWN = "special_"


def __getattr__(name: str) -> Any:
    wanted = _NAMES.get(name, _OWN + name)
    record = OPERATORS.get(wanted) or ALIASES.get(wanted)
    if record is None:
        raise AttributeError(f"module 'flambeau.special' has no attribute {name!r}")
    globals()[name] = record.public
    return record.public


def __dir__() -> list[str]:
    own = [name.removeprefix(_OWN) for name in OPERATORS if name.startswith(_OWN)]
    return sorted([*own, *(name for name, wanted in _NAMES.items() if wanted in OPERATORS)])
