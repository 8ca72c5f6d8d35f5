"""The fractal block: paths of many lengths between the same two places, joined by their mean."""

from __future__ import annotations

import numpy as np

from glubina.nn.architecture import register
from glubina.nn.blocks.convolutional import conv_norm
from glubina.nn.checks import DOUBLED, positive, probability
from glubina.nn.containers import ModuleList
from glubina.nn.module import Module
from glubina.tensor import Tensor, argmax, greater_equal, less, one_hot, rand, stack, where


def global_columns(examples: int, columns: int, share: float) -> Tensor:
    """For each example a column to be the only one, or −1 for `1 − share` of the examples.

    float32 (N,), drawn anew at each call.
    """
    chosen = (rand(examples) * columns).astype(np.int64).astype(np.float32)
    return where(less(rand(examples), share), chosen, -1.0)


def _survivors(examples: int, first: int, paths: int, p: float, only: Tensor) -> Tensor:
    """(paths, N), 1 where a path into a join is used: at least one for each example.

    Path i belongs to column first + i. `only` names an example's one column, or is negative.
    """
    drawn = rand(examples, paths)
    # The path with the largest number stays, whatever happens to the others.
    kept = one_hot(argmax(drawn, axis=1), paths)
    local = where(greater_equal(drawn, p), 1.0, kept)
    place = only - first
    # A join that the chosen column does not pass has no part in the result: any mean will do.
    outside = less(place, 0.0)
    inside = one_hot(where(outside, 0.0, place).astype(np.int64), paths)
    globally = where(outside.reshape((examples, 1)), 1.0, inside)
    mask = where(less(only, 0.0).reshape((examples, 1)), local, globally)
    return mask.permute_dims((1, 0))


class _Column(Module):
    """f_C: a convolution beside f_{C−1} twice. f_1 is the convolution alone."""

    def __init__(self, in_channels: int, out_channels: int, columns: int, first: int = 0) -> None:
        self.first = first  # the number of the column of this convolution
        self.conv = conv_norm(in_channels, out_channels, 3)
        self.deeper: ModuleList | None = None
        if columns > 1:
            inputs = (in_channels, out_channels)
            self.deeper = ModuleList(
                [_Column(i, out_channels, columns - 1, first + 1) for i in inputs]
            )

    def paths(self, x: Tensor, join: FractalBlock, only: Tensor | None) -> list[Tensor]:
        """The results of all columns from this one on, not yet joined."""
        found = [self.conv(x)]
        if self.deeper is not None:
            upper, lower = self.deeper
            assert isinstance(upper, _Column)
            assert isinstance(lower, _Column)
            middle = join.joined(upper.paths(x, join, only), self.first + 1, only)
            found += lower.paths(middle, join, only)
        return found


@register
class FractalBlock(Module):
    """f_C(x), where f_1 is conv, norm, ReLU and f_{c+1}(x) = mean of conv(x) and f_c(f_c(x)).

    (N, H, W, in_channels) to (N, H, W, out_channels); the longest of the C = `columns` paths has
    2^{C−1} convolutions 3 × 3, all have 2^C − 1 together. Joins that meet become one, the mean of
    all that enter it.

    In training each path into a join is dropped with probability drop_path, at least one stays
    (local drop-path), and the mean is taken over those that stay; for half of the examples only
    one column is used throughout instead (global drop-path). All is drawn example by example,
    where the paper draws for a mini-batch. Source: Larsson et al., 2016, arXiv:1605.07648.
    """

    def __init__(
        self, in_channels: int, out_channels: int, columns: int = 3, drop_path: float = 0.15
    ) -> None:
        self.columns = positive("columns", columns, DOUBLED)
        self.drop_path = probability("drop_path", drop_path)
        self.out_channels = out_channels
        self.body = _Column(in_channels, out_channels, columns)

    def joined(self, paths: list[Tensor], first: int, only: Tensor | None) -> Tensor:
        """The mean of the paths, or of those that survive."""
        if len(paths) == 1:
            return paths[0]
        if only is None:
            total = paths[0]
            for path in paths[1:]:
                total = total + path
            mean: Tensor = total * (1 / len(paths))
            return mean
        examples = paths[0].shape[0]
        mask = _survivors(examples, first, len(paths), self.drop_path, only)
        shares = (mask / mask.sum(axis=0)).reshape((len(paths), examples, 1, 1, 1))
        result: Tensor = (stack(paths) * shares.astype(paths[0].dtype)).sum(axis=0)
        return result

    def forward(self, x: Tensor, only: Tensor | None = None) -> Tensor:
        """(N, H, W, out_channels). only: `global_columns`, where blocks are to share them."""
        if not self.training or self.drop_path == 0:
            only = None
        elif only is None:
            only = global_columns(x.shape[0], self.columns, 0.5)
        return self.joined(self.body.paths(x, self, only), 0, only)

    def extra_repr(self) -> str:
        """The number of columns and the probability."""
        return f"columns={self.columns}, drop_path={self.drop_path}"
