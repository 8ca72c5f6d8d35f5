"""Pictures of what a network learned: grids of filters and maps, regions, confusions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glubina.train.plots import new_figure, save_figure

if TYPE_CHECKING:
    from glubina.explain.decisions import Confusions, Regions
    from glubina.explain.inside import AttentionMaps, FeatureMaps, Filters

Array = NDArray[Any]

CLASSES = (
    *("#1f5fa8", "#d9822b", "#3a8a4d", "#b5352f", "#8250df"),
    *("#8c6d46", "#d36ba6", "#7a7f85", "#a8a62a", "#2aa5b5"),
)
_MOST = 128  # filters and rows in one picture


def plot_filters(filters: Filters, path: str | os.PathLike[str], columns: int) -> None:
    """Draw filters as a grid of pictures."""
    images = filters.images
    if images.shape[-1] == 3:
        low = images.min(axis=(1, 2, 3), keepdims=True)
        range_ = np.maximum(np.ptp(images, axis=(1, 2, 3), keepdims=True), 1e-30)
        cells = list((images - low) / range_)[:_MOST]
    elif images.shape[-1] == 1:
        cells = [image[..., 0] for image in images][:_MOST]
    else:  # a row for each filter
        columns = min(images.shape[-1], 16)
        rows = images[: _MOST // columns]
        cells = [image[..., channel] for image in rows for channel in range(columns)]
    figure, grid = _grid(-(-len(cells) // columns), min(columns, len(cells)), 0.85)
    for axes, cell in zip(grid.flat, cells):
        if cell.ndim == 3:
            axes.imshow(cell, interpolation="nearest")
        else:
            _signed(axes, cell)
    save_figure(figure, path)


def plot_feature_maps(
    maps: FeatureMaps, path: str | os.PathLike[str], example: int, channels: int
) -> None:
    """Draw what each layer gives for one example."""
    shown = [("input", maps.inputs[example])]
    shown += [(f"{n}: {maps.kinds[n]}", m[example]) for n, m in maps.maps.items()][:_MOST]
    heights = [1.0 if _is_image(value) else 0.45 for _, value in shown]
    figure = new_figure(0.95 * channels + 1.9, 0.95 * sum(heights) + 0.2)
    layout = figure.add_gridspec(len(shown), channels, height_ratios=heights)
    for row, (name, value) in enumerate(shown):
        if _is_image(value):
            for channel in range(channels):
                axes = figure.add_subplot(layout[row, channel])
                axes.set_axis_off()
                if channel == 0:
                    _row_title(axes, f"{name}\n{_shape(value)}")
                if channel < value.shape[-1]:
                    axes.imshow(value[..., channel], cmap="viridis", interpolation="nearest")
        else:
            axes = figure.add_subplot(layout[row, :])
            axes.set_axis_off()
            _row_title(axes, f"{name}\n{_shape(value)}", -0.015)
            strip = value.reshape(-1, value.shape[-1]) if value.ndim else value.reshape(1, 1)
            _signed(axes, strip, aspect="auto")
    save_figure(figure, path)


def plot_attention(
    maps: AttentionMaps, path: str | os.PathLike[str], example: int, labels: Sequence[str] | None
) -> None:
    """Draw the weights of every head of every layer for one example."""
    shown = {name: weights[example] for name, weights in maps.weights.items()}
    columns = max(len(heads) for heads in shown.values())
    side = 2.1 if labels is None else min(max(2.1, 0.28 * len(labels) + 0.6), 5.0)
    figure, grid = _grid(len(shown), columns, side, room=1.0)
    most = max(float(heads.max()) for heads in shown.values())
    for line, (name, heads) in zip(grid, shown.items()):
        for number, (axes, head) in enumerate(zip(line, heads)):
            axes.set_axis_on()
            image = axes.imshow(head, cmap="Blues", vmin=0, vmax=most, interpolation="nearest")
            axes.set_title(
                f"{name}, head {number}" if number == 0 else f"head {number}", fontsize=8
            )
            axes.tick_params(labelsize=7)
            if labels is not None:
                axes.set_xticks(range(head.shape[1]), labels[: head.shape[1]], rotation=90)
                axes.set_yticks(range(head.shape[0]), labels[: head.shape[0]])
            if number == 0:
                axes.set_ylabel("query", fontsize=8)
            if name == list(shown)[-1]:
                axes.set_xlabel("key", fontsize=8)
    bar = figure.colorbar(image, ax=grid, fraction=0.03, pad=0.02)
    bar.set_label("weight", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    save_figure(figure, path)


def plot_maps(
    inputs: Array,
    maps: Array,
    targets: Array,
    path: str | os.PathLike[str],
    count: int,
    *,
    overlay: bool,
) -> None:
    """Draw inputs in one row and their maps in the next, or laid over them."""
    count = min(count, len(inputs))
    figure, grid = _grid(2, count, 1.3)
    for place in range(count):
        image = picture(inputs[place])
        top, bottom = grid[0, place], grid[1, place]
        top.imshow(image, cmap="gray", interpolation="nearest")
        top.set_title(str(targets[place]), fontsize=9)
        if overlay:
            height, width = image.shape[:2]
            extent = (-0.5, width - 0.5, height - 0.5, -0.5)
            bottom.imshow(image, cmap="gray", interpolation="nearest")
            bottom.imshow(
                maps[place], cmap="jet", alpha=0.5, extent=extent, interpolation="bilinear"
            )
        else:
            bottom.imshow(np.atleast_2d(maps[place]), cmap="inferno", interpolation="nearest")
    save_figure(figure, path)


def plot_regions(
    regions: Regions, path: str | os.PathLike[str], names: Sequence[str] | None
) -> None:
    """Draw regions and examples."""
    outputs = regions.scores.shape[-1]
    highest = 0 if regions.labels is None else int(regions.labels.max())
    count = max(outputs, 2, 1 + highest)
    figure = new_figure(5.4, 4.6)  # which says how to get matplotlib
    from matplotlib.colors import ListedColormap

    axes = figure.add_subplot(1, 1, 1)
    colours = [CLASSES[i % len(CLASSES)] for i in range(count)]
    axes.pcolormesh(
        regions.x, regions.y, regions.classes, cmap=ListedColormap(colours), vmin=-0.5,
        vmax=count - 0.5, alpha=0.25, shading="nearest", rasterized=True,
    )  # fmt: skip
    for number in range(count):
        inside = (regions.classes == number).astype(float)
        if 0 < inside.mean() < 1:
            axes.contour(regions.x, regions.y, inside, [0.5], colors="#57606a", linewidths=0.8)
    if regions.labels is None:
        axes.plot(*regions.data.T, ".", color="#1b1f24", markersize=4)
    else:
        _examples(axes, regions, colours, names)
    axes.set_xlabel("x1")
    axes.set_ylabel("x2")
    save_figure(figure, path)


def _examples(
    axes: Any, regions: Regions, colours: Sequence[str], names: Sequence[str] | None
) -> None:
    labels = np.asarray(regions.labels)
    wrong = regions.predicted != labels
    for value in np.unique(labels).tolist():
        chosen = labels == value
        name = names[value] if names is not None else f"class {value}"
        axes.plot(
            *regions.data[chosen].T, "o", color=colours[value], markersize=4.5,
            markeredgecolor="white", markeredgewidth=0.5, label=name,
        )  # fmt: skip
    if wrong.any():
        axes.plot(
            *regions.data[wrong].T, "o", markersize=9, markerfacecolor="none",
            markeredgecolor="#1b1f24", label="wrong",
        )  # fmt: skip
    axes.figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=8)


def plot_confusions(
    confusions: Confusions, path: str | os.PathLike[str], names: Sequence[str] | None, columns: int
) -> None:
    """Draw the images of each confused pair in a row."""
    rows = max(len(confusions.pairs), 1)
    figure, grid = _grid(rows, columns, 0.95, room=1.5)
    for line, pair in zip(grid, confusions.pairs):
        true, wrong = (
            names[c] if names is not None else str(c) for c in (pair.true, pair.predicted)
        )
        _row_title(line[0], f"{true} taken for {wrong}\n{pair.count} times, {pair.share:.1%}")
        for axes, index in zip(line, pair.indices):
            axes.imshow(picture(confusions.x[index]), cmap="gray", interpolation="nearest")
    save_figure(figure, path)


def picture(value: Array) -> Array:
    """An input as matplotlib draws it: (H, W), or (H, W, 3) between 0 and 1; vectors as one row."""
    if value.ndim < 2:
        return np.atleast_2d(value)
    if value.ndim == 3 and value.shape[-1] == 3:
        low, range_ = float(value.min()), float(np.ptp(value))
        return (value - low) / max(range_, 1e-30)
    return value[..., 0] if value.ndim == 3 else value


def _grid(rows: int, columns: int, side: float, room: float = 0.0) -> tuple[Any, Any]:
    """A figure of axes without frames; room: at the left, in inches."""
    figure = new_figure(side * columns + room + 0.1, side * rows + 0.1)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    return figure, grid


def _signed(axes: Any, values: Array, aspect: str = "equal") -> None:
    """Blue negative, red positive."""
    most = max(float(np.abs(values).max(initial=0)), 1e-30)
    axes.imshow(
        values, cmap="RdBu_r", vmin=-most, vmax=most, interpolation="nearest", aspect=aspect
    )


def _row_title(axes: Any, text: str, x: float = -0.12) -> None:
    axes.text(x, 0.5, text, transform=axes.transAxes, ha="right", va="center", fontsize=8)


def _is_image(value: Array) -> bool:
    """Whether there are channels of more than one place."""
    return value.ndim == 3 and value.shape[0] * value.shape[1] > 1


def _shape(value: Array) -> str:
    return " × ".join(map(str, value.shape))
