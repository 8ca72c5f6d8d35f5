"""Operations whose backward pass is written by hand."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import glubina.tensor as gl
from glubina.torch.tensor import faced


class Function(gl.Function):
    """An operation whose backward pass is written by hand; see `gl.Function`.

    `forward(ctx, ...)` and `backward(ctx, *gradients)` are static methods; call `apply`.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        """Let the hand-written methods see tensors of this face."""
        super().__init_subclass__(**options)
        for name in ("forward", "backward"):
            if name in vars(cls):
                setattr(cls, name, staticmethod(_seeing_faces(getattr(cls, name))))

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run `forward`; derivatives of what it returns are what `backward` says."""
        result = faced(super().apply(*args))
        for tensor in result if isinstance(result, tuple) else (result,):
            if tensor._cell.keep:
                tensor._cell.maker = f"{cls.__name__}Backward"
        return result


def _seeing_faces(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*(faced(a) for a in args), **kwargs)

    return call
