"""Functions of PyTorch that work element by element, where Glubina's differ in name or meaning."""

from __future__ import annotations

from typing import Any

import glubina.tensor as gl
from glubina.tensor.convert import as_tensor
from glubina.tensor.mode import mode
from glubina.tensor.promotion import bool_
from glubina.torch.adapters import adapted
from glubina.torch.makers import all_telling
from glubina.torch.tensor import faced


def _stepwise(name: str) -> Any:
    """A function of steps: its derivative is 0, not missing, as in PyTorch."""
    function = getattr(gl, name)

    def call(input: Any) -> Any:
        x = as_tensor(input)
        found = function(x)
        if mode.grad and x.requires_grad and found is not x:
            found = gl.where(gl.zeros(x.shape, dtype=bool_), x, found)
        return faced(found)

    call.__name__, call.__doc__ = name, f"{function.__doc__} The derivative is 0."
    return call


_whole = _stepwise("round")


def rounded(input: Any, *, decimals: int = 0) -> Any:
    """To the nearest number of so many decimals, halves to the even one. The derivative is 0."""
    if not decimals:
        return _whole(input)
    factor = 10.0 ** abs(decimals)
    if decimals > 0:
        return faced(gl.divide(_whole(gl.multiply(input, factor)), factor))
    return faced(gl.multiply(_whole(gl.divide(input, factor)), factor))


rounded.__name__ = "round"


def add(input: Any, other: Any, *, alpha: float = 1) -> Any:
    """`input` + alpha · other."""
    return faced(gl.add(input, other if alpha == 1 else gl.multiply(other, alpha)))


def sub(input: Any, other: Any, *, alpha: float = 1) -> Any:
    """`input` − alpha · other."""
    return faced(gl.subtract(input, other if alpha == 1 else gl.multiply(other, alpha)))


def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """`input` / other; rounding_mode is None, 'floor' or 'trunc'."""
    if rounding_mode is None:
        return faced(gl.divide(input, other))
    if rounding_mode in ("floor", "trunc"):
        whole = FUNCTIONS[rounding_mode](gl.divide(input, other))
        return faced(whole.astype(gl.result_type(*_dtypes(input, other)), copy=False))
    raise ValueError(f"div: rounding_mode is None, 'floor' or 'trunc', got {rounding_mode!r}")


def _dtypes(*values: Any) -> list[Any]:
    tensors = [v for v in values if isinstance(v, gl.Tensor)]
    return [t.dtype for t in tensors] or [as_tensor(v).dtype for v in values]


def clamp(input: Any, min: Any = None, max: Any = None) -> Any:
    """`input`, but at least `min` and at most `max`; one of them may be left out.

    At a bound the derivative is 1, as in PyTorch.
    """
    if min is None and max is None:
        raise ValueError("clamp: at least one of min and max must be given")
    return faced(gl.clip(as_tensor(input), min, max))


def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """`input` where the condition holds, else other; with the condition alone, its places."""
    if input is None:
        return faced(gl.nonzero(condition))
    return faced(gl.where(condition, input, other))


def masked_fill(input: Any, mask: Any, value: Any) -> Any:
    """`value` where the mask holds, else `input`."""
    x, chosen = as_tensor(input), as_tensor(mask)
    if chosen.dtype != bool_:
        raise TypeError(f"masked_fill: the mask must be boolean, got {chosen.dtype}")
    if isinstance(value, gl.Tensor):
        value = value.astype(x.dtype, copy=False)
    return faced(gl.where(chosen, value, x))


def addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Any:
    """`input` + value · tensor1 · tensor2."""
    return faced(gl.add(input, gl.multiply(gl.multiply(tensor1, value), tensor2)))


def addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Any:
    """`input` + value · tensor1 / tensor2."""
    return faced(gl.add(input, gl.multiply(gl.divide(tensor1, tensor2), value)))


def lerp(input: Any, end: Any, weight: Any) -> Any:
    """`input` + weight · (end − input)."""
    return faced(gl.add(input, gl.multiply(gl.subtract(end, input), weight)))


def logit(input: Any, eps: float | None = None) -> Any:
    """The inverse of the sigmoid, ln(x / (1 − x)); with eps, of x moved into eps ... 1 − eps."""
    x = as_tensor(input) if eps is None else clamp(input, eps, 1 - eps)
    return faced(gl.subtract(gl.log(x), gl.log1p(gl.negative(x))))


def frac(input: Any) -> Any:
    """`input` − trunc(input)."""
    return faced(gl.subtract(input, gl.trunc(input)))


def nan_to_num(
    input: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Any:
    """NaN and the infinities replaced by numbers (by default the largest of the dtype)."""
    import numpy as np

    x = as_tensor(input)
    most = float(np.finfo(x.dtype).max) if x.dtype.kind == "f" else 0.0
    high, low = most if posinf is None else posinf, -most if neginf is None else neginf
    result = gl.where(gl.isnan(x), nan, x)
    result = gl.where(gl.equal(result, float("inf")), high, result)
    return faced(gl.where(gl.equal(result, float("-inf")), low, result))


def isclose(
    input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Any:
    """Where |input − other| ≤ atol + rtol · |other|."""
    a, b = as_tensor(input), as_tensor(other)
    near = gl.less_equal(gl.abs(gl.subtract(a, b)), gl.add(gl.multiply(gl.abs(b), rtol), atol))
    near = gl.logical_or(near, gl.equal(a, b))
    if equal_nan:
        near = gl.logical_or(near, gl.logical_and(gl.isnan(a), gl.isnan(b)))
    return faced(near)


def allclose(input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8,
             equal_nan: bool = False) -> bool:  # fmt: skip
    """Whether `isclose` holds everywhere."""
    return bool(gl.all(isclose(input, other, rtol, atol, equal_nan)))


def equal(input: Any, other: Any) -> bool:
    """Whether two tensors have the same shape and elements (one truth; `eq` compares each)."""
    a, b = as_tensor(input), as_tensor(other)
    return a.shape == b.shape and bool(gl.all(gl.equal(a, b)))


# names of PyTorch for functions that Glubina has, taken as they are
ONE = {
    **{
        name: name
        for name in (
            *("exp", "expm1", "log", "log1p", "log2", "log10", "sqrt", "rsqrt", "reciprocal"),
            *("square", "sin", "cos", "tan", "tanh", "sinh", "cosh", "erf", "sigmoid", "relu"),
            *("logical_not", "isnan", "isinf"),
            *("isfinite", "abs", "absolute", "negative", "positive"),
        )
    },
    **{name: name for name in ("asin", "acos", "atan", "asinh", "acosh", "atanh", "erfinv")},
    **{f"arc{name}": f"a{name}" for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
    "neg": "negative",
    "bitwise_not": "bitwise_invert",
    "fix": "trunc",
}
TWO = {
    **{
        name: name
        for name in (
            *("maximum", "minimum", "remainder", "floor_divide", "multiply", "pow", "logaddexp"),
            *("logical_and", "logical_or", "logical_xor", "greater", "greater_equal", "less"),
            *("less_equal", "not_equal", "bitwise_and", "bitwise_or", "bitwise_xor"),
            *("bitwise_left_shift", "bitwise_right_shift"),
        )
    },
    "atan2": "atan2",
    "arctan2": "atan2",
    "mul": "multiply",
    "true_divide": "divide",
    "eq": "equal",
    "ne": "not_equal",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
}

FUNCTIONS: dict[str, Any] = all_telling(
    {
        **{name: _stepwise(name) for name in ("sign", "floor", "ceil", "trunc")},
        "round": rounded,
        **{name: adapted(getattr(gl, of), "input", name=name) for name, of in ONE.items()},
        **{name: adapted(getattr(gl, of), "input", "other", name=name) for name, of in TWO.items()},
        "add": add,
        "sub": sub,
        "subtract": sub,
        "div": div,
        "divide": div,
        "clamp": clamp,
        "clip": clamp,
        "where": where,
        "masked_fill": masked_fill,
        "addcmul": addcmul,
        "addcdiv": addcdiv,
        "lerp": lerp,
        "logit": logit,
        "frac": frac,
        "nan_to_num": nan_to_num,
        "isclose": isclose,
        "allclose": allclose,
        "equal": equal,
    }
)
