"""Parts of tensors that change with them, as PyTorch's views do: `x[0][1] = 5`.

The link is `glubina.tensor.views`; here is what each kind of part does.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

import glubina.tensor as gl
from glubina.tensor.base import consume, wrap
from glubina.tensor.mode import mode
from glubina.tensor.views import is_straight, link
from glubina.torch.makers import told
from glubina.torch.tensor import Tensor, faced

_item = gl.Tensor.__getitem__
_set_item = gl.Tensor.__setitem__


def turned(
    whole: gl.Tensor,
    part: gl.Tensor,
    get: Callable[[Any], Any],
    back: Callable[[Any], Any] | None = None,
) -> Any:
    """A tensor with its axes in another order, which changes with it."""
    put = back or get
    link(part, whole, get, lambda _, value: put(value), straight=False)
    return faced(part)


def reshaped(whole: Any, part: gl.Tensor, copies: bool = False) -> Any:
    """A tensor under another shape, which changes with it; `copies`: not if its axes are turned."""
    if isinstance(whole, gl.Tensor) and not (copies and not is_straight(whole)):
        after, before = part.shape, tuple(whole.shape)
        link(part, whole, lambda w: gl.reshape(w, after), lambda _, v: gl.reshape(v, before))
    return faced(part)


def indexed(whole: gl.Tensor, part: gl.Tensor, index: Any) -> Any:
    """A slice or a diagonal of a tensor, which changes with it."""
    link(part, whole, lambda w: _item(w, index), lambda w, value: _replaced(w, index, value))
    return faced(part)


def _replaced(whole: gl.Tensor, index: Any, value: gl.Tensor) -> gl.Tensor:
    result = wrap(consume(whole), mode.grad and whole._requires_grad)
    _set_item(result, index, value)
    return result


def _is_basic(index: Any) -> bool:
    if isinstance(index, tuple):
        return all(map(_is_basic, index))
    return index is None or index is Ellipsis or isinstance(index, (int, slice, np.integer))


def getitem(self: Tensor, index: Any) -> Any:
    """The part that whole numbers, slices, None and ... name: it changes with the tensor.

    What tensors and lists of indices or masks pick is a copy.
    """
    if isinstance(index, list) and any(isinstance(part, (slice, tuple)) for part in index):
        index = tuple(index)
    part = _item(self, index)
    if not _is_basic(index):
        return told(faced(part), "Index")
    return told(indexed(self, part, index), _step_of(index))


def _step_of(index: Any) -> str:
    """What PyTorch does last for such an index."""
    given = index if isinstance(index, tuple) else (index,)
    parts = [p for p in given if p is not Ellipsis and not _is_whole(p)]
    last = parts[-1] if parts else slice(None)
    return "Unsqueeze" if last is None else "Slice" if isinstance(last, slice) else "Select"


def _is_whole(part: Any) -> bool:
    return isinstance(part, slice) and part.start is part.stop is part.step is None


def setitem(self: Tensor, index: Any, value: Any) -> None:
    """Change the part that an index names."""
    _set_item(self, index, np.asarray(value) if isinstance(value, (list, tuple)) else value)


def contiguous(self: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor itself; of one with turned axes a copy."""
    return self if is_straight(self) else faced(self.clone())


def reshape(self: Tensor, *shape: Any) -> Any:
    """The same elements under another shape; one extent may be -1."""
    if len(shape) == 1 and isinstance(shape[0], (type, np.dtype)):
        raise TypeError("view: reading the memory under another dtype is not possible here")
    return told(reshaped(self, gl.reshape(self, *shape), copies=True), "View")


def become(self: Tensor, result: gl.Tensor) -> Tensor:
    """Take over another tensor's value, whose shape may differ (`unsqueeze_`)."""
    cell = self._cell = result._cell
    self._requires_grad = result._requires_grad
    if cell.view is not None:
        cell.view = cell.view._replace(part=weakref.ref(self))
    return self
