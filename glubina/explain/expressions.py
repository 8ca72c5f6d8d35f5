"""A formula that a person typed, as tensors: arithmetic and functions, and nothing else."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import glubina.tensor as gl
from glubina.explain.errors import ExplainError
from glubina.nn import functional as F
from glubina.tensor import Tensor

FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(gl, name) for name in (
        "abs", "cos", "exp", "log", "log1p", "maximum", "mean", "minimum", "prod", "sin", "sqrt",
        "square", "sum", "tanh", "max", "min",
    )},
    **{name: getattr(F, name) for name in ("relu", "sigmoid", "softplus")},
    "softmax": lambda x: F.softmax(x, -1),
    "log_softmax": lambda x: F.log_softmax(x, -1),
    "norm": lambda x: gl.sqrt(gl.sum(x * x)),
}  # fmt: skip


def _power(a: Any, b: Any) -> Any:
    """a**b; of plain numbers in floating point, for 9**9**9 has 400 million digits."""
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return a**b
    found = math.pow(a, b)
    return int(found) if isinstance(a, int) and found.is_integer() and b >= 0 else found


_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Pow: _power,
    ast.MatMult: lambda a, b: a @ b,
    ast.USub: lambda a: -a,
    ast.UAdd: lambda a: a,
}


def evaluate(formula: str, values: Mapping[str, str]) -> tuple[Tensor, dict[str, Tensor]]:
    """The tensor that a formula gives, and the variables in it, each requiring gradients.

    formula: such as `w1**2 * w2**2`, with + - * / ** @ and `FUNCTIONS`. values: of each variable a
    number or a list of numbers, in double precision. ExplainError for anything else.
    """
    try:
        tree = ast.parse(formula.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = getattr(error, "msg", "") or "it is too deep"
        raise ExplainError(f"{formula!r} is not a formula: {reason}") from None
    variables = {name: _value(name, text) for name, text in values.items()}
    try:
        result = _Evaluator(formula, variables).visit(tree)
    except RecursionError:
        raise ExplainError(f"{formula[:40]!r}... is nested too deeply") from None
    except (ArithmeticError, ValueError) as error:  # 1/0, 9**9**9, (-1)**0.5 without a variable
        raise ExplainError(f"{formula!r} cannot be worked out: {error}") from None
    if not isinstance(result, Tensor) or not result.requires_grad:
        raise ExplainError(f"{formula!r} has no variables: there is nothing to differentiate by")
    if any(result is variable for variable in variables.values()):
        raise ExplainError(f"{formula!r} is a variable: there is nothing to explain")
    return result, variables


def _value(name: str, text: str) -> Tensor:
    try:
        value = np.array(ast.literal_eval(text), np.float64)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise ExplainError(
            f"{name}={text}: a value is a number, or a list of numbers such as [1, 2, 3]"
        ) from None
    return gl.tensor(value, requires_grad=True)


class _Evaluator:
    """Walks a formula's tree; what is not arithmetic is refused."""

    def __init__(self, formula: str, variables: Mapping[str, Tensor]) -> None:
        self.formula = formula
        self.variables = variables

    def visit(self, tree: ast.AST) -> Any:
        """The value of a part of the formula."""
        if isinstance(tree, ast.BinOp) and type(tree.op) in _OPERATORS:
            return _OPERATORS[type(tree.op)](self.visit(tree.left), self.visit(tree.right))
        if isinstance(tree, ast.UnaryOp) and type(tree.op) in _OPERATORS:
            return _OPERATORS[type(tree.op)](self.visit(tree.operand))
        if isinstance(tree, ast.Constant) and type(tree.value) in (int, float):
            return tree.value
        if isinstance(tree, ast.Name):
            return self._variable(tree.id)
        if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and not tree.keywords:
            return self._call(tree.func.id, tree.args)
        part = ast.get_source_segment(self.formula.strip(), tree) or type(tree).__name__
        raise ExplainError(
            f"{part!r} is not understood: a formula has numbers, variables, + - * / ** @ and "
            f"functions ({', '.join(sorted(FUNCTIONS))})"
        )

    def _variable(self, name: str) -> Tensor:
        if name not in self.variables:
            raise ExplainError(f"{name} has no value: give it as {name}=1.5")
        return self.variables[name]

    def _call(self, name: str, arguments: list[ast.expr]) -> Any:
        if name not in FUNCTIONS:
            known = ", ".join(sorted(FUNCTIONS))
            raise ExplainError(f"there is no function {name}; there are {known}")
        given = [self.visit(argument) for argument in arguments]
        plain = [gl.tensor(np.float64(v)) if not isinstance(v, Tensor) else v for v in given]
        try:
            return FUNCTIONS[name](*plain)
        except TypeError as error:
            raise ExplainError(f"{name} does not take {len(given)} arguments: {error}") from None
