"""Glubina's side: the networks and the training step as a loop, compiled, or through `fit`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import glubina as gl
from glubina import nn, optim

from .workloads import Workload


def network(workload: Workload) -> nn.Module:
    """The workload's network."""
    if workload.name == "mlp":
        return nn.Sequential(
            *(nn.Linear(784, 512), nn.ReLU(), nn.Dropout(0.5)),
            *(nn.Linear(512, 256), nn.ReLU(), nn.Dropout(0.5)),
            nn.Linear(256, 10),
        )
    if workload.name == "cnn":
        return nn.Sequential(
            *(nn.Conv2d(1, 32, 3), nn.ReLU()),
            *(nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25)),
            *(nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5)),
            nn.Linear(128, 10),
        )
    return nn.Sequential(
        *(nn.Linear(2, 8), nn.Tanh()), *(nn.Linear(8, 8), nn.Tanh()), nn.Linear(8, 1)
    )


def optimizer(workload: Workload, parameters: Any) -> Any:
    """The workload's update rule."""
    if workload.name == "mlp":
        return optim.Adam(parameters, lr=1e-3)
    return optim.SGD(parameters, lr=0.01)


def criterion(workload: Workload) -> Any:
    """The workload's loss."""
    return nn.CrossEntropyLoss() if workload.classes else nn.MSELoss()


class GlubinaSteps:
    """Training steps of one workload; `mode` is "loop" or "compiled"."""

    def __init__(self, workload: Workload, mode: str, threads: int) -> None:
        gl.manual_seed(0)
        gl.set_num_threads(threads)
        inputs, targets = workload.data()
        size = workload.batch
        self.batches = [
            (gl.tensor(inputs[at : at + size]), gl.tensor(targets[at : at + size]))
            for at in range(0, len(inputs), size)
        ]
        model = network(workload)
        rule = optimizer(workload, model.parameters())
        self.step = training_step(model, criterion(workload), rule)
        if mode == "compiled":
            self.step = gl.compile(self.step)
        self.position = 0
        self.last: Any = None

    def run(self, steps: int) -> int:
        """Take so many steps; returns how many were taken."""
        step, batches = self.step, self.batches
        for _ in range(steps):
            x, y = batches[self.position]
            self.last = step(x, y)
            self.position = (self.position + 1) % len(batches)
        return steps

    def loss(self) -> float:
        """The loss of the last step."""
        return float(self.last.item())


def training_step(model: Any, loss_function: Any, rule: Any) -> Callable[[Any, Any], Any]:
    """The explicit training step, as in a lecture."""

    def step(x: Any, y: Any) -> Any:
        rule.zero_grad()
        loss = loss_function(model(x), y)
        loss.backward()
        rule.step()
        return loss.detach()

    return step


class GlubinaFit:
    """Training steps through `fit`, with all that it does besides: shuffling and the history."""

    def __init__(self, workload: Workload, mode: str, threads: int) -> None:
        gl.manual_seed(0)
        gl.set_num_threads(threads)
        self.x, self.y = workload.data()
        self.workload = workload
        self.model = network(workload)
        self.model.compile(
            optimizer=optimizer(workload, self.model.parameters()), loss=criterion(workload)
        )
        self.history: Any = None

    def run(self, steps: int) -> int:
        """Train for as many epochs as make at least so many steps; returns how many were taken."""
        epochs = -(-steps // self.workload.batches)
        self.history = self.model.fit(
            self.x, self.y, batch_size=self.workload.batch, epochs=epochs, verbose=0
        )
        return epochs * self.workload.batches

    def loss(self) -> float:
        """The mean loss of the last epoch."""
        return float(self.history.history["loss"][-1])


def build(workload: Workload, mode: str, threads: int) -> GlubinaSteps | GlubinaFit:
    """The training steps of a workload in a mode: "loop", "compiled" or "fit"."""
    if mode == "fit":
        return GlubinaFit(workload, mode, threads)
    return GlubinaSteps(workload, mode, threads)
