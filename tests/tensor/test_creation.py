"""How tensors are made, printed, converted; their dtypes; random numbers; the debug ladder."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina.tensor import programs


def test_dtypes_of_data() -> None:
    assert gl.tensor(1.5).dtype == gl.float32
    assert gl.tensor([1, 2]).dtype == gl.int64
    assert gl.tensor([True]).dtype == gl.bool_
    assert gl.tensor([1.0, 2], dtype=gl.float64).dtype == gl.float64
    assert gl.tensor(np.zeros(2)).dtype == gl.float64
    assert gl.tensor(np.zeros(2, ">f4")).dtype == gl.float32
    assert gl.tensor(np.float64(2)).dtype == gl.float64
    assert gl.tensor([1, 2], dtype=float).dtype == gl.float32
    assert gl.tensor([[gl.tensor(1.0), 2.0]]).tolist() == [[1, 2]]
    for bad in ("float16", "complex64", str, "nonsense"):
        with pytest.raises(gl.errors.DTypeError, match="bool, int8"):
            gl.zeros(2, dtype=bad)
    with pytest.raises(gl.errors.DTypeError, match="'a'"):
        gl.tensor(["a", "b"])
    with pytest.raises(gl.errors.DTypeError, match="lengths"):
        gl.tensor([[1], [2, 3]])


def test_data_is_copied() -> None:
    array = np.zeros(3)
    x = gl.tensor(array)
    array[:] = 1
    assert x.tolist() == [0, 0, 0]
    y = gl.tensor(x)
    y.add_(1)
    assert x.tolist() == [0, 0, 0]
    out = x.numpy()
    out[:] = 7
    assert x.tolist() == [0, 0, 0]


def test_sharing_memory() -> None:
    memory = np.zeros(1024 + 16, np.float32)
    start = -(memory.ctypes.data // 4) % 16
    array = memory[start : start + 1024]
    shared = gl.asarray(array, copy=False)
    array[0] = 5
    assert shared[0].item() == 5
    shared.add_(1)
    shared.realise()
    assert array[0] == 5
    with pytest.raises(ValueError, match="64 bytes"):
        gl.asarray(memory[::2], copy=False)
    back = np.from_dlpack(gl.arange(3))
    assert back.tolist() == [0, 1, 2]
    assert gl.from_dlpack(np.arange(4.0)).tolist() == [0, 1, 2, 3]
    assert np.asarray(gl.ones(2)).tolist() == [1, 1]
    assert np.asarray(gl.ones(2), dtype=np.int8).dtype == np.int8


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (lambda: gl.zeros(2, 3), np.zeros((2, 3), np.float32)),
        (lambda: gl.ones((2, 3), dtype="int32"), np.ones((2, 3), np.int32)),
        (lambda: gl.full((2,), 7), np.full(2, 7)),
        (lambda: gl.full((2,), True), np.full(2, True)),
        (lambda: gl.full(2, 0.1), np.full(2, 0.1, np.float32)),
        (lambda: gl.arange(5), np.arange(5)),
        (lambda: gl.arange(7, 2, -2), np.arange(7, 2, -2)),
        (lambda: gl.arange(0.0, 1.0, 0.25), np.arange(0, 1, 0.25, dtype=np.float32)),
        (lambda: gl.linspace(0, 1, 5), np.linspace(0, 1, 5, dtype=np.float32)),
        (lambda: gl.linspace(0, 1, 4, endpoint=False), np.arange(0, 1, 0.25, dtype=np.float32)),
        (lambda: gl.eye(3), np.eye(3, dtype=np.float32)),
        (lambda: gl.eye(2, 4, k=1), np.eye(2, 4, 1, dtype=np.float32)),
        (lambda: gl.zeros_like(gl.arange(3)), np.zeros(3, np.int64)),
        (lambda: gl.ones_like(gl.arange(3), dtype="float32"), np.ones(3, np.float32)),
        (lambda: gl.full_like(gl.ones(2), 3), np.full(2, 3, np.float32)),
        (lambda: gl.one_hot(gl.tensor([2, 0]), 3), np.eye(3, dtype=np.float32)[[2, 0]]),
    ],
)
def test_creation(found: Any, expected: Any) -> None:
    x = found()
    assert x.shape == expected.shape
    assert x.dtype == expected.dtype
    np.testing.assert_allclose(x.numpy(), expected, rtol=1e-6)


def test_meshgrid() -> None:
    for indexing in ("ij", "xy"):
        found = gl.meshgrid(gl.arange(3), gl.arange(2), gl.arange(4), indexing=indexing)
        expected = np.meshgrid(np.arange(3), np.arange(2), np.arange(4), indexing=indexing)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a.numpy(), b)


@pytest.mark.parametrize(
    ("x", "y", "dtype"),
    [
        (gl.int8, gl.uint8, gl.int16),
        (gl.int32, gl.int64, gl.int64),
        (gl.float32, gl.float64, gl.float64),
        (gl.float32, gl.int64, gl.float32),
        (gl.bool_, gl.float32, gl.float32),
        (gl.bool_, gl.int8, gl.int8),
    ],
)
def test_promotion(x: Any, y: Any, dtype: Any) -> None:
    assert (gl.ones(2, dtype=x) + gl.ones(2, dtype=y)).dtype == dtype
    assert gl.result_type(y, x) == dtype


def test_python_numbers_are_weak() -> None:
    assert (gl.ones(2, dtype="int8") * 3).dtype == gl.int8
    assert (gl.ones(2, dtype="float64") * 3.5).dtype == gl.float64
    assert (gl.ones(2) * np.float64(3.5)).dtype == gl.float32
    assert (gl.arange(3) * 0.5).dtype == gl.float32
    assert (gl.arange(3) / 2).dtype == gl.float32
    assert ((gl.arange(3) > 1) * 2).dtype == gl.int64
    assert (gl.arange(3) == 1).dtype == gl.bool_
    with pytest.raises(gl.errors.DTypeError, match="300 does not fit into int8"):
        gl.ones(2, dtype="int8") * 300
    with pytest.raises(gl.errors.DTypeError, match="int64 and uint64"):
        gl.arange(3) + gl.ones(3, dtype="uint64")
    with pytest.raises(gl.errors.DTypeError, match="floating"):
        (gl.arange(3) > 1) + (gl.arange(3) > 1)


def test_negative_zero_and_nan_stay_what_they_are() -> None:
    x = gl.tensor([1.0, -1.0])
    assert np.signbit((x * 0.0).numpy()).tolist() == [False, True]
    assert np.signbit((x * -0.0).numpy()).tolist() == [True, False]
    assert np.isnan((x * float("nan")).numpy()).all()
    assert np.isnan((x * float("nan")).numpy()).all()


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: gl.ones(2, 3) + gl.ones(4), r"add: shapes \(2, 3\) and \(4,\).*axis -1.*3 and 4"),
        (lambda: gl.ones(2, 3) @ gl.ones(4, 2), r"matmul: \(2, 3\) @ \(4, 2\).*3 elements"),
        (lambda: gl.ones(2, 3).reshape(4), r"reshape: \(2, 3\) has 6.*\(4,\)"),
        (lambda: gl.ones(2, 3).sum(2), "sum: axis 2 .* 2 axes"),
        (lambda: gl.ones(2, 3).squeeze(0), r"squeeze.*\(2, 3\)"),
        (lambda: gl.concat([gl.ones(2, 3), gl.ones(2, 4)]), r"concat.*\(2, 3\) and \(2, 4\)"),
        (lambda: gl.stack([gl.ones(2), gl.ones(3)]), r"stack.*\(2,\) and \(3,\)"),
        (lambda: gl.concat([]), "no tensors"),
        (lambda: gl.ones(2, 3).item(), r"item: .*\(2, 3\)"),
        (lambda: bool(gl.ones(2)), r"truth.*any\(\) or all\(\)"),
        (lambda: gl.zeros(-1), "negative extent"),
        (lambda: gl.ones(3).permute(0, 0), "permute_dims"),
        (lambda: gl.where(gl.ones(2), 1, 2), "where: the condition must be boolean"),
        (lambda: gl.ones(2).to("cuda"), "no device 'cuda'"),
        (lambda: gl.zeros(0).max(), "max: .* empty"),
        (lambda: gl.one_hot(gl.ones(2), 2), "whole numbers"),
        (lambda: gl.split(gl.ones(5), [2, 2]), "add up to the extent 5"),
    ],
)
def test_error_texts(make: Any, text: str) -> None:
    with pytest.raises(gl.errors.GraphError, match=text):
        make()


def test_python_conversions() -> None:
    x = gl.tensor(3)
    assert (int(x), float(x), bool(x), [10, 20, 30, 40][x]) == (3, 3.0, True, 40)
    with pytest.raises(gl.errors.DTypeError, match="float32"):
        [1][gl.tensor(0.0)]
    assert len(gl.ones(4, 2)) == 4
    assert [row.tolist() for row in gl.arange(4).reshape(2, 2)] == [[0, 1], [2, 3]]
    with pytest.raises(TypeError, match="length"):
        len(gl.tensor(1))
    assert hash(x) == hash(x)
    assert {x: 1}[x] == 1
    assert f"{gl.tensor(1.23456):.2f}" == "1.23"
    assert x.device == "cpu"
    assert (gl.ones(2).double().dtype, gl.ones(2).long().dtype) == (gl.float64, gl.int64)
    assert gl.tensor([0.0, 2.0]).bool().tolist() == [False, True]
    assert gl.ones(2, 3).nbytes == 24


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: gl.ones(1, 2, requires_grad=True), "tensor([[1., 1.]], requires_grad=True)"),
        (lambda: gl.tensor([1.5, 2.25]), "tensor([1.5000, 2.2500])"),
        (lambda: gl.tensor([1, -20]), "tensor([  1, -20])"),
        (lambda: gl.tensor([True, False]), "tensor([ True, False])"),
        (lambda: gl.tensor(2.0), "tensor(2.)"),
        (lambda: gl.ones(2, dtype="float64"), "tensor([1., 1.], dtype=float64)"),
        (lambda: gl.zeros(0), "tensor([])"),
        (lambda: gl.zeros(2, 0), "tensor([], shape=(2, 0))"),
        (lambda: gl.tensor([float("nan"), float("inf")]), "tensor([nan, inf])"),
        (lambda: gl.tensor([1e-8, 1.0]), "tensor([1.0000e-08, 1.0000e+00])"),
        (lambda: gl.arange(5000), "tensor([   0,    1,    2, ..., 4997, 4998, 4999])"),
    ],
)  # fmt: skip
def test_printing(make: Any, text: str) -> None:
    assert repr(make()) == text


def test_printing_aligns_rows() -> None:
    lines = repr(gl.arange(6).reshape(2, 3)).split("\n")
    assert lines == ["tensor([[0, 1, 2],", "        [3, 4, 5]])"]


# -- random numbers -------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_numbers() -> None:
    gl.manual_seed(7)
    first = [gl.rand(3, 4), gl.randn(5), gl.randint(0, 10, (6,)), gl.randperm(9)]
    gl.manual_seed(7)
    again = [gl.rand((3, 4)), gl.randn(5), gl.randint(0, 10, (6,)), gl.randperm(9)]
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert not np.array_equal(gl.rand(3, 4).numpy(), first[0].numpy())
    other = gl.Generator(7)
    np.testing.assert_array_equal(gl.rand(3, 4, generator=other).numpy(), first[0].numpy())
    state = other.get_state()
    x = gl.randn(3, generator=other).numpy()
    other.set_state(state)
    np.testing.assert_array_equal(gl.randn(3, generator=other).numpy(), x)


def test_distributions() -> None:
    gl.manual_seed(0)
    n = 100_000
    uniform, normal = gl.rand(n).numpy(), gl.randn(n, dtype="float64").numpy()
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 0.005
    assert abs(uniform.var() - 1 / 12) < 0.002
    assert abs(normal.mean()) < 0.01
    assert abs(normal.std() - 1) < 0.01
    assert abs((normal**4).mean() - 3) < 0.15
    counts = np.bincount(gl.randint(3, 8, (n,)).numpy(), minlength=8)
    assert counts[:3].sum() == 0
    assert (abs(counts[3:] - n / 5) < n / 50).all()
    assert abs(gl.bernoulli(gl.full(n, 0.3)).numpy().mean() - 0.3) < 0.01
    assert sorted(gl.randperm(100).tolist()) == list(range(100))
    shifted = gl.normal(5.0, 2.0, (n,)).numpy()
    assert abs(shifted.mean() - 5) < 0.03
    assert abs(shifted.std() - 2) < 0.03


def test_random_numbers_in_place() -> None:
    gl.manual_seed(0)
    x = gl.zeros(10_000, requires_grad=True)
    with gl.no_grad():
        x.normal_(1.0, 0.5)
    assert abs(x.numpy().mean() - 1) < 0.03
    x.data.uniform_(-2, 2)
    assert abs(x.numpy().min() + 2) < 0.01
    x.data.bernoulli_(0.25)
    assert abs(x.numpy().mean() - 0.25) < 0.03


@pytest.mark.skipif(programs.backend() == "interpreter", reason="compares with the interpreter")
def test_programs_and_interpreter_draw_the_same_bits() -> None:
    code = (
        "import glubina as gl; gl.manual_seed(3); "
        "print(gl.rand(40001).numpy().tobytes().hex()[-64:]); "
        "print(gl.randint(0, 99, (30000,)).sum().item())"
    )
    run = [sys.executable, "-c", code]
    native = subprocess.run(run, capture_output=True, check=True, text=True).stdout
    numpy = subprocess.run(
        run, capture_output=True, check=True, text=True,
        env={**os.environ, "GLUBINA_BACKEND": "interpreter"},
    ).stdout  # fmt: skip
    assert native == numpy


# -- the debug ladder -----------------------------------------------------------------------------


@pytest.mark.skipif(programs.backend() == "interpreter", reason="about programs")
def test_the_debug_ladder() -> None:
    text = io.StringIO()
    x = gl.tensor(np.ones((170, 140), np.float32))
    with gl.debug(6, file=text):
        (x.tanh() * x).sum(1).realise()
    shown = text.getvalue()
    for part in ("tanh(%0)", "reduce", "working memory", "define ", ".text", "GFLOP/s"):
        assert part in shown
    text = io.StringIO()
    with gl.debug("graph", file=text):
        (gl.tensor(1.0) + 2).item()
    assert "interpreter" in text.getvalue()
    with pytest.raises(ValueError, match="graph, kernels, plan"):
        gl.debug("everything")


def test_names() -> None:
    """Every documented name is there, and has a docstring."""
    for name in gl.__all__:
        value = getattr(gl, name)
        assert value is not None
        if callable(value):
            assert value.__doc__, name
    assert gl.tensor([1]).tolist() == [1]
    import glubina.tensor as room

    assert room.tensor([1]).tolist() == [1]
