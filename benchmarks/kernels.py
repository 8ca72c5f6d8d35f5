"""How fast single kernels are: GFLOP/s by shape, beside the machine's best matrix product.

    python -m benchmarks.kernels [--threads N] [--only TEXT] [--seconds S]

Each kernel is a program of its own, run on data that fits its job; the best of many runs counts,
because other work on the machine only ever makes a run slower.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

if __name__ == "__main__":  # before NumPy is loaded, which reads them only once
    _parser = argparse.ArgumentParser(description=__doc__, add_help=False)
    _parser.add_argument("--threads", type=int, default=1)
    for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[_name] = str(_parser.parse_known_args()[0].threads)

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.conv_shapes import AWKWARD, LAYERS, POOLS, TILES, Layer, Pool
from benchmarks.machine import FLOPS, Sgemm
from benchmarks.report import machine
from glubina.codegen.lowering import lower
from glubina.codegen.target import host
from glubina.graph.node import Node
from glubina.graph.ops import contraction, movement, source, window
from glubina.graph.ops.contraction import ConvAttributes
from glubina.graph.ops.window import WindowAttributes
from glubina.runtime.buffer import Buffer
from glubina.runtime.build import build
from glubina.runtime.compiler import compile_ir
from glubina.schedule.fuse import fuse

FLOAT = np.dtype(np.float32)


@dataclass(frozen=True)
class Case:
    """One kernel: what it is called, the node that it computes, its multiply-adds."""

    name: str
    node: Node
    inputs: tuple[Node, ...]
    multiplications: int


def product(name: str, m: int, k: int, n: int, turned: str = "", batch: int = 1) -> Case:
    """C = A B; `turned` names the factors that lie in memory transposed."""
    a = source.input((batch, k, m) if "a" in turned else (batch, m, k), FLOAT)
    b = source.input((batch, n, k) if "b" in turned else (batch, k, n), FLOAT)
    left = movement.transpose(a, (0, 2, 1)) if "a" in turned else a
    right = movement.transpose(b, (0, 2, 1)) if "b" in turned else b
    node = contraction.matmul(left, right)
    return Case(f"{name} {m}x{k}x{n}", node, (a, b), batch * m * k * n)


def convolution(layer: Layer) -> list[Case]:
    """The three passes of a convolutional layer."""
    rank = len(layer.spatial)
    reach = (layer.window - 1) * layer.dilation
    zeros = (reach, 0) if layer.causal else (layer.padding, layer.padding)
    geometry = ConvAttributes(
        (layer.stride,) * rank, (zeros,) * rank, (layer.dilation,) * rank, (1,) * rank, layer.groups
    )
    x = source.input((layer.images, *layer.spatial, layer.channels), FLOAT)
    w = source.input(
        (*(layer.window,) * rank, layer.channels // layer.groups, layer.filters), FLOAT
    )
    y = contraction.conv(x, w, geometry)
    g = source.input(y.shape, FLOAT)
    work = y.size * layer.window**rank * layer.channels // layer.groups
    derivative = y.op.derivative
    assert derivative is not None
    dx, dw = derivative(y, g)
    assert dx is not None
    assert dw is not None
    text = layer.title
    cases = [Case(f"{text} forward", y, (x, w), work), Case(f"{text} filter", dw, (x, g), work)]
    turned = source.input(dx.sources[1].shape, FLOAT)  # turning the filter is a kernel of its own
    data = contraction.conv(g, turned, dx.attributes)
    return [*cases, Case(f"{text} input", data, (g, turned), work)]


def pooling(pool: Pool) -> list[Case]:
    """Max pooling, its gradient, the sum over the windows and its gradient."""
    a = WindowAttributes((pool.window,) * 2, (pool.stride,) * 2, ((pool.padding,) * 2,) * 2)
    x = source.input((pool.images, pool.side, pool.side, pool.channels), FLOAT)
    y, total = window.pool_max(x, a), window.pool_sum(x, a)
    g = source.input(y.shape, FLOAT)
    found = []
    for kind, node in (("max", y), ("sum", total)):
        derivative = node.op.derivative
        assert derivative is not None
        (back,) = derivative(node, g)
        assert back is not None
        text = f"{pool.name} {pool.side}x{pool.side}x{pool.channels} {pool.window}/{pool.stride}"
        taken = (x, g) if kind == "max" else (g,)
        found.append(Case(f"{text} {kind}", node, (x,), 0))
        found.append(Case(f"{text} {kind} input", back, taken, 0))
    return found


def cases() -> list[Case]:
    """The shapes that matter: square products, a perceptron's layers, convolutional layers."""
    found = [product("square", side, side, side) for side in (64, 256, 512, 1024, 2048)]
    found += [
        product("linear", 128, 784, 512, "b"),
        product("linear input", 128, 512, 784),
        product("linear filter", 512, 128, 784, "a"),
        product("head", 128, 256, 10, "b"),
        product("head input", 128, 10, 256),
        product("head filter", 10, 128, 256, "a"),
        product("dense", 128, 9216, 128, "b"),
        product("dense filter", 128, 128, 9216, "a"),
        product("one image", 1, 784, 512, "b"),
        product("one column", 2048, 2048, 1),
        product("one row", 1, 2048, 2048),
        product("deep", 16, 100_000, 16, "a"),
        product("tiny", 32, 8, 8, "b"),
        product("attention", 128, 64, 128, "b", batch=32),
    ]
    found += [case for layer in (*LAYERS, *TILES, *AWKWARD) for case in convolution(layer)]
    found += [case for pool in POOLS for case in pooling(pool)]
    return found


def best_seconds(run: Callable[[], object], seconds: float) -> float:
    """The shortest of the runs that fit into some seconds (at least three)."""
    best, end, runs = float("inf"), time.perf_counter() + seconds, 0
    while runs < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
        runs += 1
    return best


def measure(case: Case, threads: int, seconds: float) -> tuple[float, float]:
    """Seconds of one run, and seconds of compiling the kernel without any cache."""
    program = build([case.node], case.inputs, [-1])
    target = host()
    lowered = [lower(kernel, target) for kernel in fuse([case.node])]
    texts = [ir() for lowering in lowered for ir in lowering.modules.values()]
    start = time.perf_counter()
    compile_ir(texts, target)
    compiling = time.perf_counter() - start
    random = np.random.default_rng(0)
    inputs = [
        Buffer.from_array(random.standard_normal(node.shape, dtype=np.float32))
        for node in case.inputs
    ]
    outputs = [Buffer(4 * case.node.size)]
    program.run(inputs, outputs, threads)
    return best_seconds(lambda: program.run(inputs, outputs, threads), seconds), compiling


def report(chosen: Sequence[Case], threads: int, seconds: float) -> None:
    """Measure and print the table."""
    console = Console(width=max(100, Console().width))  # a narrower table loses its headings
    yardstick = Sgemm()
    yardstick.run(1)
    ceiling = FLOPS / best_seconds(lambda: yardstick.run(1), max(seconds, 0.5))
    console.print(machine(threads))
    console.print(f"sgemm: {ceiling / 1e9:.0f} GFLOP/s")
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("kernel", no_wrap=True)
    for name in ("µs", "GFLOP/s", "of sgemm", "GB/s", "compile ms"):
        table.add_column(name, justify="right", no_wrap=True)
    for case in chosen:
        taken, compiling = measure(case, threads, seconds)
        rate = 2 * case.multiplications / taken
        moved = 4 * (sum(node.size for node in case.inputs) + case.node.size)
        table.add_row(
            case.name,
            f"{1e6 * taken:.1f}",
            f"{rate / 1e9:.1f}",
            f"{100 * rate / ceiling:.0f} %",
            f"{moved / taken / 1e9:.1f}",
            f"{1e3 * compiling:.0f}",
        )
    console.print(table)


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1, help="threads of the kernels and of BLAS")
    parser.add_argument(
        "--only", default="", help="kernels whose names contain one of these, with commas"
    )
    parser.add_argument("--seconds", type=float, default=0.2, help="how long to repeat each kernel")
    options = parser.parse_args()
    report(
        [c for c in cases() if any(part in c.name for part in options.only.split(","))],
        options.threads,
        options.seconds,
    )


if __name__ == "__main__":
    main()
