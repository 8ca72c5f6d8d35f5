"""`torch.special`: functions that `torch` has too, under the names of special functions."""

from __future__ import annotations

from typing import Any

from glubina.torch import elementwise, further, more, reductions

_ALL: dict[str, Any] = {
    **elementwise.FUNCTIONS,
    **reductions.FUNCTIONS,
    **more.FUNCTIONS,
    **further.FUNCTIONS,
}
_NAMES = {
    "expit": "sigmoid",
    **{
        name: name
        for name in (
            *("erf", "erfinv", "exp2", "expm1", "log1p", "log_softmax", "logit", "logsumexp"),
            *("round", "softmax", "xlogy"),
        )
    },
}
FUNCTIONS: dict[str, Any] = {name: _ALL[own] for name, own in _NAMES.items() if own in _ALL}
globals().update(FUNCTIONS)

__all__ = [*FUNCTIONS]
