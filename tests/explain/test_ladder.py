"""The ladder: every kernel has a place and a time, and the pictures show what runs."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

import glubina as gl
from glubina import explain, nn, optim
from glubina.explain import ExplainError, Ladder


@pytest.fixture(scope="module")
def step_ladder() -> Ladder:
    """A training step of a small convolutional network."""
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(8 * 8 * 8, 10),
    )  # fmt: skip
    optimizer = optim.Adam(network.parameters(), lr=1e-3)
    loss_function = nn.CrossEntropyLoss()

    @gl.compile
    def step(x: gl.Tensor, y: gl.Tensor) -> gl.Tensor:
        optimizer.zero_grad()
        loss = loss_function(network(x), y)
        loss.backward()
        optimizer.step()
        return loss

    rng = np.random.default_rng(0)
    x = gl.tensor(rng.standard_normal((16, 16, 16, 3)).astype(np.float32))
    return explain.ladder(step, x, gl.tensor(np.arange(16) % 10), repeats=5)


def test_every_kernel_has_a_line_a_time_and_code(step_ladder: Ladder) -> None:
    assert len(step_ladder.kernels) >= 8
    for kernel in step_ladder.kernels:
        assert kernel.microseconds > 0
        assert kernel.places
        for place in kernel.places:
            assert place.user is not None
            assert place.user.file == __file__
    conv = next(k for k in step_ladder.kernels if k.label.startswith("conv"))
    assert "define" in conv.ir
    assert "ret" in conv.assembly
    stages = {place.stage for k in step_ladder.kernels for place in k.places}
    assert stages == {"forward", "backward", "update"}
    layers = {place.layer for k in step_ladder.kernels for place in k.places}
    assert {"0 Conv2d", "1 BatchNorm2d", "5 Linear", "CrossEntropyLoss"} <= layers


def test_kernels_have_rates_beside_the_machines_best(step_ladder: Ladder) -> None:
    assert step_ladder.in_kernels > 0
    rates = [k.share_of(step_ladder.peak) for k in step_ladder.kernels]
    assert all(rate >= 0 for rate in rates)
    assert step_ladder.peak.gflops > 0.1
    assert step_ladder.peak.gbps > 0.1


def test_the_table_is_sorted_by_time(step_ladder: Ladder) -> None:
    times = [kernel.microseconds for kernel in step_ladder.sorted()]
    assert times == sorted(times, reverse=True)
    text = step_ladder.table(3)
    assert text.splitlines()[-1].endswith(f"{len(times) - 3} more")
    assert "GFLOP/s" in text
    assert "test_ladder.py:" in text


def test_what_lives_at_once_lies_apart(step_ladder: Ladder) -> None:
    blocks = [b for b in step_ladder.arena if b.size]
    assert blocks
    for i, a in enumerate(blocks):
        assert 0 <= a.offset <= a.offset + a.size <= step_ladder.arena_bytes
        for b in blocks[i + 1 :]:
            together = a.first <= b.last and b.first <= a.last
            apart = a.offset + a.size <= b.offset or b.offset + b.size <= a.offset
            assert apart or not together


def test_the_picture_of_memory_shows_every_block(step_ladder: Ladder) -> None:
    svg = step_ladder.arena_svg()
    namespace = "{http://www.w3.org/2000/svg}"
    titles = [t.text or "" for t in ET.fromstring(svg).iter(f"{namespace}title")]
    assert len(titles) == sum(b.size > 0 for b in step_ladder.arena)
    assert [t.startswith("a workspace") for t in titles] == [
        b.what is None for b in step_ladder.arena if b.size
    ]


def test_files(step_ladder: Ladder, tmp_path: Path) -> None:
    page = step_ladder.save(tmp_path / "ladder.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "Assembly" in page
    assert "src=" not in page
    assert (
        step_ladder.save(tmp_path / "ladder.txt")
        .read_text(encoding="utf-8")
        .startswith(f"{len(step_ladder.kernels)} kernels")
    )
    assert step_ladder.save(tmp_path / "arena.svg").exists()
    with pytest.raises(ExplainError, match=r"ladder.pdf: this is written as one of .html, .txt"):
        step_ladder.save(tmp_path / "ladder.pdf")


def test_a_notebook_shows_the_table(step_ladder: Ladder) -> None:
    assert step_ladder._repr_html_().count("<tr>") == 1 + len(step_ladder.kernels)


def test_graphs_before_and_after(step_ladder: Ladder) -> None:
    assert "gradient" in step_ladder.graph
    assert "gradient(" not in step_ladder.simplified
    assert "conv_filter" in step_ladder.simplified


def test_the_kernels_times_add_up_to_the_step() -> None:
    """Both are of the same runs; what is missing is the call itself."""
    network = nn.Sequential(nn.Linear(600, 600), nn.ReLU(), nn.Linear(600, 600))

    def step(x: gl.Tensor) -> gl.Tensor:
        (network(x) ** 2).mean().backward()
        return network[0].weight.grad + network[2].weight.grad

    x = gl.tensor(np.ones((1500, 600), np.float32))
    found = explain.ladder(step, x, repeats=5)
    assert 0.9 * found.microseconds < found.in_kernels <= found.microseconds


def test_loops_have_their_kernels_too() -> None:
    class Reader(nn.Module):
        def __init__(self) -> None:
            self.loop = nn.LSTM(4, 8, num_layers=2, batch_first=True)
            self.second = nn.LSTM(8, 8, batch_first=True)

        def forward(self, x: gl.Tensor) -> gl.Tensor:
            x, _ = self.loop(x)
            return self.second(x)[0]

    network = Reader()
    optimizer = optim.SGD(network.parameters(), lr=0.1)

    def step(x: gl.Tensor) -> gl.Tensor:
        optimizer.zero_grad()
        loss = (network(x) ** 2).sum()
        loss.backward()
        optimizer.step()
        return loss

    found = explain.ladder(step, gl.tensor(np.ones((2, 5, 4), np.float32)), repeats=2)
    inside = [kernel for kernel in found.kernels if kernel.label.startswith("scan")]
    assert {(k.places[0].layer, k.places[0].stage) for k in inside} == {
        (layer, stage)
        for layer in ("loop LSTM", "second LSTM")
        for stage in ("forward", "backward")
    }
    for kernel in found.kernels:
        assert kernel.places
        for place in kernel.places:
            assert place.user is not None
            assert place.user.file == __file__
            assert place.user.function.endswith(("forward", "step"))  # not where ladder is called


def test_plain_functions_are_compiled_and_others_refused() -> None:
    x = gl.tensor(np.ones((300, 300), np.float32))
    found = explain.ladder(lambda x: (x @ x).sum(), x, repeats=2)
    assert any("matmul" in kernel.label for kernel in found.kernels)


def test_interpreted_functions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLUBINA_BACKEND", "interpreter")
    x = gl.tensor(np.ones((3, 7), np.float32))
    with pytest.raises(ExplainError, match="there is no native program to show"):
        explain.ladder(lambda x: (x * 1.25).sum(), x)
