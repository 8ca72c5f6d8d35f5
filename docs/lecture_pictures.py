"""The drawings of the lectures' pages, each from the names that its page's code leaves."""

from __future__ import annotations

from typing import Any

import numpy as np
from activation_table import elementwise
from matplotlib.figure import Figure
from pictures import Names, draws

BLUE, ORANGE, GREEN, GREY, RED = "#1f5fa8", "#d9822b", "#3a8a4d", "#8a8a8a", "#b5352f"


def panels(count: int, width: float = 4.4, height: float = 3.6) -> tuple[Any, list[Any]]:
    """A figure with axes side by side."""
    figure = Figure(figsize=(width * count, height), layout="constrained", facecolor="white")
    return figure, list(figure.subplots(1, count, squeeze=False)[0])


def finish(axes: Any, title: str, x: str = "", y: str = "", legend: bool = True) -> None:
    """What all axes get: a title, labels, a legend."""
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.25)
    if legend:
        axes.legend(frameon=False, fontsize=8)


@draws("linear-layers")
def linear_layers(page: Names) -> Any:
    """|x| by linear layers and by bent ones; singular values during training."""
    figure, (left, middle, right) = panels(3)
    x = page["x"].numpy()
    left.plot(x, page["y"].numpy(), color=GREY, linewidth=4, alpha=0.5, label="y = |x|")
    left.plot(x, page["linear"](page["x"]).numpy(), color=BLUE, label="three linear layers")
    left.plot(x, page["bent"](page["x"]).numpy(), color=ORANGE, label="with one ReLU")
    finish(left, "The best that training finds", "x")
    for axes, name, title in ((middle, "one", "One layer"), (right, "three", "Three layers")):
        for values, colour in zip(page[name].T, (BLUE, ORANGE, GREEN)):
            axes.plot(values, color=colour)
        for aim in (4, 2, 1):
            axes.axhline(aim, color=GREY, linestyle=":", linewidth=1)
        finish(axes, title, "step", "singular values of the product", legend=False)
    return figure


@draws("edges")
def edges(page: Names) -> Any:
    """An image, its Laplacian, the strength of its edges."""
    figure, shown = panels(3, 4.0, 3.2)
    strength = page["strength"].numpy()
    parts = (page["image"], page["edges"].numpy()[:, :, 0], strength)
    for axes, values, title in zip(shown, parts, ("Image", "Laplacian", "Sobel: strength")):
        axes.imshow(values, cmap="gray")
        finish(axes, title, legend=False)
        axes.grid(visible=False)
    return figure


@draws("activations")
def activations(page: Names) -> Any:
    """Every activation function of single elements, and its derivative."""
    layers = elementwise()
    height = -(-len(layers) // 5)
    figure = Figure(figsize=(12, 1.9 * height), layout="constrained", facecolor="white")
    every = figure.subplots(height, 5, squeeze=False).ravel()
    for axes, (name, layer) in zip(every, layers.items()):
        value, slope = page["curves"](layer)
        axes.plot(page["grid"], value, color=BLUE)
        axes.plot(page["grid"], slope, color=ORANGE, linewidth=1)
        axes.set_ylim(-1.6, 2.6)
        finish(axes, name, legend=False)
    for axes in every[len(layers) :]:
        axes.set_visible(False)
    return figure


@draws("universal-approximation")
def universal_approximation(page: Names) -> Any:
    """Networks through a function; their largest errors against the width."""
    figure, (left, right) = panels(2, 5.2)
    grid, function = page["grid"], page["function"]
    left.plot(grid, function(grid), color=GREY, linewidth=4, alpha=0.5, label="the function")
    for width, colour in ((4, BLUE), (8, ORANGE), (32, GREEN)):
        values = page["by_hand"](width)(page["gl"].tensor(grid)).numpy()
        left.plot(grid, values, color=colour, linewidth=1.2, label=f"{width} neurons")
    finish(left, "Weights set by hand", "x")
    error, widths = page["largest_error"], page["widths"]
    right.loglog(widths, page["hand"], "o-", color=GREY, label="by hand (ReLU)")
    for name, colour, label in (("relu", BLUE, "learnt, ReLU"), ("tanh", ORANGE, "learnt, tanh")):
        right.loglog(widths, [error(net) for net in page[name].values()], "o-", color=colour,
                     label=label)  # fmt: skip
    right.set_xticks(widths, [str(width) for width in widths])
    right.minorticks_off()
    finish(right, "Largest error", "neurons in the hidden layer")
    return figure


def regions(axes: Any, page: Names, net: Any, points: Any, classes: Any) -> None:
    """The probability of class 1 as colour, and points over it."""
    line = np.linspace(-2.2, 2.2, 111, dtype=np.float32)
    grid = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    shown = net.predict(grid)[:, 1].reshape(111, 111)
    axes.imshow(shown, extent=(-2.2, 2.2, -2.2, 2.2), origin="lower", cmap="RdBu", vmin=0, vmax=1,
                alpha=0.6, interpolation="bilinear")  # fmt: skip
    axes.contour(line, line, shown, [0.5], colors="black", linewidths=1)
    clouds(axes, points, classes)
    axes.set_xlim(-2.2, 2.2)
    axes.set_ylim(-2.2, 2.2)


def clouds(axes: Any, points: Any, classes: Any) -> None:
    """The points of two classes, told apart by colour and by shape."""
    for label, colour, marker in ((0, RED, "o"), (1, BLUE, "^")):
        chosen = points[classes == label][:150]
        axes.scatter(*chosen.T, s=11, color=colour, marker=marker, linewidths=0,
                     label=f"class {label}")  # fmt: skip


@draws("exclusive-or")
def exclusive_or(page: Names) -> Any:
    """What the linear model and the network say everywhere; the hidden layer's view."""
    figure, (left, middle, right) = panels(3, 4.0, 3.9)
    points, classes = page["points"], page["y"]
    regions(left, page, page["line"], points, classes)
    finish(left, "Linear: accuracy one half", "x₁", "x₂")
    regions(middle, page, page["network"], points, classes)
    finish(middle, "One hidden layer", "x₁", "x₂", legend=False)
    values = page["by_hand"][:2](page["gl"].tensor((points + 1) / 2)).numpy()
    clouds(right, values, classes)
    h1 = np.array([0.0, 3.2])
    right.plot(h1, (h1 - 0.5) / 2, color="black", linewidth=1)
    finish(right, "The two hidden neurons set by hand", "h₁", "h₂", legend=False)
    return figure


@draws("likelihood")
def likelihood(page: Names) -> Any:
    """A coin's likelihood, logistic regression, and priors of different width."""
    figure, (left, middle, right) = panels(3)
    p = np.linspace(0.001, 0.999, 500)
    for tosses, colour in ((10, BLUE), (100, ORANGE), (1000, GREEN)):
        log = 0.7 * tosses * np.log(p / 0.7) + 0.3 * tosses * np.log((1 - p) / 0.3)
        left.plot(p, np.exp(log), color=colour, label=f"{tosses} tosses")
    left.axvline(0.7, color=GREY, linestyle=":", linewidth=1)
    finish(left, "Coin: likelihood / its maximum", "p")
    hours = np.linspace(0, 6, 200)
    middle.plot(page["hours"], page["passed"], "|", color=GREY, markersize=10, label="students")
    z = page["w"].item() * hours + page["b"].item()
    middle.plot(hours, 1 / (1 + np.exp(-z)), color=BLUE, label="maximum likelihood")
    finish(middle, "Logistic regression", "hours", "probability of passing")
    right.plot([1, 2, 4, 5], [0, 0, 1, 1], "o", color=GREY)
    for tau, colour in ((0.5, GREEN), (1.0, ORANGE), (2.0, BLUE)):
        w, b = page["most_probable"](tau, 4000)
        curve = 1 / (1 + np.exp(-(w * hours + b)))
        right.plot(hours, curve, color=colour, label=f"prior N(0, {tau}²)")
    w, b = page["most_probable"](1e6, 16000)
    curve = 1 / (1 + np.exp(-(w * hours + b)))
    right.plot(hours, curve, color=RED, linestyle="--", label="no prior, 16,000 steps")
    finish(right, "Four students", "hours")
    return figure


@draws("fitting")
def fitting(page: Names) -> Any:
    """Polynomials; their errors against the degree and against the penalty."""
    figure, (left, middle, right) = panels(3)
    x = np.linspace(-1, 1, 300)
    left.plot(page["x"], page["y"], "o", color=GREY, label="measured")
    for degree, penalty, colour in ((1, 0, BLUE), (3, 0, GREEN), (12, 0, RED), (12, 1e-2, ORANGE)):
        weights = page["fit"](page["powers"](page["x"], degree), page["y"], penalty)
        label = f"degree {degree}" + (", with penalty" if penalty else "")
        left.plot(x, page["powers"](x, degree) @ weights, color=colour, label=label)
    left.set_ylim(-2.2, 2.2)
    finish(left, "Polynomials", "x")
    degrees, penalties = range(13), np.logspace(-7, 2, 19)
    curves(middle, degrees, np.array([page["errors"](degree) for degree in degrees]))
    middle.set_yscale("log")
    finish(middle, "Too little and too much", "degree", "mean squared error")
    curves(right, penalties, np.array([page["errors"](12, each) for each in penalties]))
    right.set_xscale("log")
    right.set_yscale("log")
    finish(right, "Degree 12 with a penalty", "penalty")
    return figure


def curves(axes: Any, places: Any, values: Any) -> None:
    """Training and validation error."""
    axes.plot(places, values[:, 0], "o-", markersize=3, color=BLUE, label="training")
    axes.plot(places, values[:, 1], "o-", markersize=3, color=ORANGE, label="validation")


@draws("fitting-networks")
def fitting_networks(page: Names) -> Any:
    """A network's losses over the epochs; double descent."""
    figure, (left, right) = panels(2, 5.2)
    for history, colour, name in (("plain", BLUE, ""), ("decayed", GREEN, ", weight decay")):
        values = page[history]
        left.plot(values["loss"], color=colour, linestyle=":", label=f"training{name}")
        left.plot(values["val_loss"], color=colour, label=f"validation{name}")
    left.set_ylim(0, None)
    finish(left, "A network on digits with wrong labels", "epoch", "loss")
    widths = page["widths"]
    right.plot(widths, page["bare"][:, 0], "o:", markersize=3, color=BLUE, label="training")
    right.plot(widths, page["bare"][:, 1], "o-", markersize=3, color=BLUE, label="test")
    right.plot(widths, page["penalised"][:, 1], "o-", markersize=3, color=GREEN,
               label="test, with a penalty")  # fmt: skip
    right.axvline(page["n"], color=GREY, linestyle=":", linewidth=1)
    right.annotate("as many features\nas examples", (page["n"] * 1.08, 0.02), fontsize=8)
    right.set_xscale("log")
    finish(right, "Double descent", "random features", "share of wrong answers")
    return figure


@draws("second-derivatives")
def second_derivatives(page: Names) -> Any:
    """Newton's path; a wave before and after a MAML step; losses against steps."""
    figure, (left, middle, right) = panels(3)
    a, b = np.meshgrid(np.linspace(-1.6, 1.6, 200), np.linspace(-3.4, 1.8, 200))
    left.contour(a, b, page["rosenbrock"]((a, b)), np.logspace(-1, 3.4, 9), colors=GREY,
                 linewidths=0.6)  # fmt: skip
    left.plot(*page["gradients"].T, color=ORANGE, label="gradient descent, 3,000 steps")
    left.plot(*page["newtons"].T, "o-", color=BLUE, markersize=4, label="Newton, 6 steps")
    left.plot([1], [1], "*", color=RED, markersize=11, label="minimum")
    finish(left, "Rosenbrock's valley", "x₁", "x₂")
    wave(middle, page)
    steps = range(11)
    right.plot(steps, page["pretrained_losses"], "o-", markersize=3, color=GREY, label="pretrained")
    right.plot(steps, page["maml_losses"], "o-", markersize=3, color=BLUE, label="MAML")
    right.set_ylim(0, None)
    finish(right, "New waves", "gradient steps on ten points", "loss on other points")
    return figure


def wave(axes: Any, page: Names) -> None:
    """One wave, its ten points, and what the network says before and after a step."""
    gl = page["gl"]
    x = np.linspace(-5, 5, 200, dtype=np.float32).reshape(1, -1, 1)
    few = np.linspace(-4.5, 4.5, 10, dtype=np.float32).reshape(1, -1, 1)
    axes.plot(x[0], 3 * np.sin(x[0] - 1), color=GREY, linewidth=4, alpha=0.5, label="the wave")
    axes.plot(few[0], 3 * np.sin(few[0] - 1), "v", color=RED, label="ten points")
    own = page["per_task"](page["maml"], 1)
    points, aims = gl.tensor(few), gl.tensor(3 * np.sin(few - 1))
    for label, colour, style in (("before", GREEN, ":"), ("after 1 step", BLUE, "-")):
        shown = page["network"](own, gl.tensor(x)).numpy()[0]
        axes.plot(x[0], shown, color=colour, linestyle=style, label=label)
        own = page["adapted"](own, points, aims)
    finish(axes, "MAML on one wave", "x")


@draws("initialisation")
def initialisation(page: Names) -> Any:
    """The sizes of activations and gradients through fifty layers, by the first weights."""
    figure, axes = panels(4, 3.6)
    colours = dict(zip(page["RULES"], (GREY, RED, BLUE, ORANGE)))
    for number, (nonlinearity, what) in enumerate(
        (f, kind) for f in ("tanh", "relu") for kind in ("activations", "gradients")
    ):
        for name, colour in colours.items():
            values = page["figures"][nonlinearity, name][what == "gradients"]
            powers = np.log10(np.clip(values, 1e-9, 1e9))
            axes[number].plot(powers, color=colour, label=name)
        axes[number].set_ylim(-9.5, 9.5)
        label = "log10 of the standard deviation" if number == 0 else ""
        finish(axes[number], f"{nonlinearity}: {what}", "layer", label, legend=number == 0)
    return figure
