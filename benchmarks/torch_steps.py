"""PyTorch's side: the networks and the training step, eager or compiled. Needs torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from .workloads import Workload


def network(workload: Workload) -> Any:
    """The workload's network, as a PyTorch user writes it."""
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
    """The workload's update rule, in the form that is the faster in PyTorch on a CPU."""
    if workload.name == "mlp":
        return torch.optim.Adam(parameters, lr=1e-3, fused=True)
    return torch.optim.SGD(parameters, lr=0.01)


class TorchSteps:
    """Training steps of one workload; `mode` is "eager" or "compile", with a memory layout."""

    def __init__(self, workload: Workload, mode: str, threads: int) -> None:
        torch.manual_seed(0)
        torch.set_num_threads(threads)
        torch.set_flush_denormal(True)  # as Glubina does
        self.batches = _batches(workload, "channels-last" in mode)
        model = network(workload)
        if "channels-last" in mode:
            model = model.to(memory_format=torch.channels_last)
        rule = optimizer(workload, model.parameters())
        criterion = nn.CrossEntropyLoss() if workload.classes else nn.MSELoss()
        self.step = _training_step(model, criterion, rule, compiled="compile" in mode)
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
        return float(self.last)


def _batches(workload: Workload, channels_last: bool) -> list[tuple[Any, Any]]:
    """The mini-batches as tensors in memory, images channels-first in PyTorch's order of axes."""
    inputs, targets = workload.data()
    x, y = torch.from_numpy(inputs), torch.from_numpy(targets)
    if len(workload.shape) == 3:
        layout = torch.channels_last if channels_last else torch.contiguous_format
        x = x.permute(0, 3, 1, 2).contiguous(memory_format=layout)
    return list(zip(x.split(workload.batch), y.split(workload.batch)))


def _training_step(
    model: Any, criterion: Any, rule: Any, compiled: bool
) -> Callable[[Any, Any], Any]:
    def forward(x: Any, y: Any) -> Any:
        return criterion(model(x), y)

    if compiled:
        forward = torch.compile(forward)

    def step(x: Any, y: Any) -> Any:
        rule.zero_grad()
        loss = forward(x, y)
        loss.backward()
        rule.step()
        return loss.detach()

    return step
