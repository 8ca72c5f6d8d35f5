"""Where the windows of pooling lie: their extents, steps, padding, and how many there are."""

from __future__ import annotations

from typing import Any, NamedTuple

from glubina.graph import Node, ShapeError, ops
from glubina.graph.ops import WindowAttributes
from glubina.nn.checks import extents
from glubina.nn.padding import padded


class Windows(NamedTuple):
    """One number per spatial axis; `ceil`: the last window may reach over the padding's end."""

    window: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    ceil: bool

    @property
    def reach(self) -> tuple[int, ...]:
        """From a window's first element to its last, both included."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.window, self.dilation))


def windows(
    rank: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any = 1, ceil: bool = False
) -> Windows:
    """The arguments of a pooling layer, checked; `stride` is the window unless given."""
    window = extents("kernel_size", kernel_size, rank)
    steps = window if stride is None else extents("stride", stride, rank)
    around = extents("padding", padding, rank, 0)
    found = Windows(window, steps, around, extents("dilation", dilation, rank), bool(ceil))
    if any(2 * p > k for p, k in zip(around, window)):
        raise ValueError(f"padding may be at most half of kernel_size: {around} and {window}")
    return found


def counts(w: Windows, spatial: tuple[int, ...]) -> tuple[int, ...]:
    """How many windows there are along each axis: ⌊(n + 2p − reach) / s⌋ + 1.

    With `ceil` it is rounded up, but a window begins inside the image or the padding before it.
    """
    found = []
    for n, k, s, p in zip(spatial, w.reach, w.stride, w.padding, strict=True):
        room = n + 2 * p - k
        count = (-(-room // s) if w.ceil else room // s) + 1
        if w.ceil and (count - 1) * s >= n + p:
            count -= 1
        if count < 1:
            raise ShapeError(
                f"the window reaches over {w.reach}, more than the input {spatial} with "
                f"padding {w.padding}"
            )
        found.append(count)
    return tuple(found)


def geometry(w: Windows, spatial: tuple[int, ...]) -> WindowAttributes:
    """Of windows without dilation: the padding after the image is what the last window needs."""
    if not w.ceil:
        return WindowAttributes(w.window, w.stride, tuple((p, p) for p in w.padding))
    found = zip(spatial, counts(w, spatial), w.window, w.stride, w.padding, strict=True)
    around = tuple((p, max((m - 1) * s + k - n - p, 0)) for n, m, k, s, p in found)
    return WindowAttributes(w.window, w.stride, around)


def gathered(x: Node, w: Windows) -> tuple[Node, WindowAttributes]:
    """An image in which the windows lie side by side, each without holes, and that geometry.

    Each axis becomes as many elements as all windows have; windows without holes stay as they are.
    """
    spatial = x.shape[1:-1]
    if all(d == 1 for d in w.dilation):
        return x, geometry(w, spatial)
    places = counts(w, spatial)
    around = []
    for n, m, reach, s, p in zip(spatial, places, w.reach, w.stride, w.padding, strict=True):
        around.append((p, (m - 1) * s + reach - n - p))
    if any(map(any, around)):
        x = padded(x, tuple(around), "constant", float("-inf"))
    found = zip(places, w.window, w.stride, w.dilation, strict=True)
    for axis, (m, k, s, d) in enumerate(found, start=1):
        x = _side_by_side(x, axis, m, k, s, d)
    return x, WindowAttributes(w.window, w.window, ((0, 0),) * len(spatial))


def _side_by_side(x: Node, axis: int, count: int, k: int, stride: int, dilation: int) -> Node:
    """Along one axis: the k elements of each window, one window after the other."""
    parts = []
    for tap in range(k):
        starts, lengths, steps = [0] * len(x.shape), list(x.shape), [1] * len(x.shape)
        starts[axis], lengths[axis], steps[axis] = tap * dilation, count, stride
        part = ops.slice(x, tuple(starts), tuple(lengths), tuple(steps))
        parts.append(ops.reshape(part, (*part.shape[: axis + 1], 1, *part.shape[axis + 1 :])))
    beside = ops.concat(parts, axis + 1)
    return ops.reshape(beside, (*x.shape[:axis], count * k, *x.shape[axis + 1 :]))
