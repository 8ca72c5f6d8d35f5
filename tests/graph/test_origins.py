"""Where nodes come from: lines, layers and stages, kept through every pass of the compiler."""

from __future__ import annotations

import numpy as np

import glubina as gl
from glubina import nn, optim
from glubina.graph import origins
from glubina.graph.node import topological
from glubina.runtime import observers


def test_nobody_watches_unless_asked() -> None:
    assert origins.current() is None
    with origins.watching() as outer:
        with origins.watching() as inner:
            assert inner is outer
        assert origins.current() is outer
    assert origins.current() is None


def test_every_node_of_a_training_step_has_a_line_and_a_stage() -> None:
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 3)
    )
    optimizer = optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    loss_function = nn.CrossEntropyLoss()

    @gl.compile
    def step(x: gl.Tensor, y: gl.Tensor) -> gl.Tensor:
        optimizer.zero_grad()
        loss = loss_function(network(x), y)
        loss.backward()
        optimizer.step()
        return loss

    made: list[observers.ScheduleEvent] = []
    x = np.random.default_rng(0).standard_normal((3, 6, 6, 2)).astype(np.float32)
    with origins.watching() as watch, observers.schedules.watching(made.append):
        step(gl.tensor(x), gl.tensor(np.array([0, 1, 2])))
    stages, layers = set(), set()
    for kernel in made[-1].schedule.kernels:
        for node in topological(kernel.outputs):
            if not node.sources:
                continue
            origin = watch.of(node)
            assert origin is not None, node
            assert origin.user is not None
            assert origin.user.file == __file__
            stages.add(origin.stage)
            layers.add(type(origin.modules[-1]).__name__ if origin.modules else "")
    assert stages == {"forward", "backward", "update"}
    assert {"Conv2d", "BatchNorm2d", "ReLU", "Linear", "CrossEntropyLoss"} <= layers


def test_other_threads_are_not_noted() -> None:
    import threading

    with origins.watching() as watch:
        thread = threading.Thread(target=lambda: gl.tensor(1.0) * 2)
        thread.start()
        thread.join()
        assert not any(n.sources for n in watch.table)
