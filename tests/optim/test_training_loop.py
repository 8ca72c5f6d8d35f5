"""The ordinary training loop, as a lecture writes it, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from nn_oracle import log_softmax

import glubina as gl
from glubina import nn, optim
from glubina.tensor.programs import structures_seen


def transcription(weights: list[Any], x: Any, y: Any, steps: int) -> list[float]:
    """The losses of the same network and steps: two ReLU layers, softmax, SGD with decay."""
    rate, decay = 0.01, 0.05
    w1, b1, w2, b2, w3, b3 = (w.copy() for w in weights)
    losses = []
    for _ in range(steps):
        h1 = np.maximum(x @ w1.T + b1, 0)
        h2 = np.maximum(h1 @ w2.T + b2, 0)
        logp = log_softmax(h2 @ w3.T + b3)
        losses.append(-logp[np.arange(len(y)), y].mean())
        d3 = np.exp(logp)
        d3[np.arange(len(y)), y] -= 1
        d3 /= len(y)
        d2 = (d3 @ w3) * (h2 > 0)
        d1 = (d2 @ w2) * (h1 > 0)
        found = (d1.T @ x, d1.sum(0), d2.T @ h1, d2.sum(0), d3.T @ h2, d3.sum(0))
        for w, g in zip((w1, b1, w2, b2, w3, b3), found):
            w -= rate * (g + decay * w)
    return losses


def test_the_loop_of_a_lecture() -> None:
    x = gl.tensor(np.random.default_rng().normal(size=(2, 3)).astype("float32"))
    y = gl.tensor(np.array([0, 2]))
    net = nn.Sequential(nn.Linear(3, 10), nn.ReLU(), nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 3))
    opt = optim.SGD(net.parameters(), lr=0.01, weight_decay=0.05)
    loss_fn = nn.CrossEntropyLoss()
    weights = [p.numpy().astype(np.float64) for p in net.parameters()]
    expected = transcription(weights, x.numpy().astype(np.float64), y.numpy(), 100)
    before = structures_seen()
    losses = []
    for _ in range(100):
        opt.zero_grad()
        loss = loss_fn(net(x), y)
        loss.backward()
        opt.step()
        losses.append(loss)
    found = [loss.item() for loss in losses]
    assert structures_seen() - before <= 2
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert found[-1] < found[0]
    w1, w2 = gl.tensor(2.0, requires_grad=True), gl.tensor(3.0, requires_grad=True)
    q = w1**2 * w2**2
    q.backward()
    assert (w1.grad.item(), w2.grad.item()) == (36.0, 24.0)


def steps_of(make: Any, count: int) -> tuple[Any, list[Any], int]:
    """Train a small network with everything in it; the programs that were made."""
    gl.manual_seed(5)
    random = np.random.default_rng(0)
    x = gl.tensor(random.normal(size=(8, 6, 6, 1)).astype(np.float32))
    y = gl.tensor(random.integers(0, 3, 8))
    net = nn.Sequential(
        *(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Dropout(0.25), nn.Linear(16, 3)),
    )
    opt = make(net.parameters())
    losses = []
    before = structures_seen()
    for _ in range(count):
        opt.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        opt.step()
        losses.append(loss)
    assert int(net[1].num_batches_tracked.item()) == count
    return net, losses, structures_seen() - before


def test_every_step_is_the_same_program_whatever_the_rate() -> None:
    def make(parameters: Any) -> Any:
        rule = optim.Adam(parameters, lr=0.01)
        plan = optim.ExponentialLR(rule, 0.9)
        step = rule.step

        def step_and_go_on() -> None:
            step()
            plan.step()

        rule.step = step_and_go_on
        return rule

    _, losses, programs = steps_of(make, 12)
    assert programs <= 2
    assert losses[-1].item() < losses[0].item()


def test_the_same_seed_gives_the_same_weights() -> None:
    first, _, _ = steps_of(lambda p: optim.AdamW(p, lr=0.01), 4)
    second, _, _ = steps_of(lambda p: optim.AdamW(p, lr=0.01), 4)
    for a, b in zip(first.state_dict().values(), second.state_dict().values()):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_statistics_do_not_wait_for_someone_to_read_them() -> None:
    """What a step wrote is worked out with it: the graph does not grow from step to step."""
    net, _, _ = steps_of(lambda p: optim.SGD(p, lr=0.01), 3)
    assert net[1].running_mean._cell.value() is not None


@pytest.mark.parametrize("rule", [optim.SGD, optim.Adam])
def test_the_first_step_is_the_program_of_all_others(rule: Any) -> None:
    gl.manual_seed(0)
    net = nn.Sequential(nn.Linear(200, 300), nn.ReLU(), nn.Linear(300, 5))
    x, y = (gl.tensor(np.ones((16, n), np.float32)) for n in (200, 5))
    with gl.no_grad():
        for parameter in net.parameters():
            parameter.mul_(0.5)  # which is pending when training begins
    optimizer = rule(net.parameters(), lr=0.01)
    made = []
    for _ in range(3):
        before = structures_seen()
        optimizer.zero_grad()
        nn.MSELoss()(net(x), y).backward()
        optimizer.step()
        made.append(structures_seen() - before)
    assert made[0] <= 2  # the first weights by themselves, and the step
    assert made[1:] == [0, 0]


def test_a_parameter_that_takes_no_part_may_be_one_that_cannot_be_worked_out() -> None:
    w = gl.ones(3, requires_grad=True)
    beyond = gl.arange(3)[gl.tensor([0, 3]) * 2 + 1] * 1.0
    optimizer = optim.SGD([w, beyond], lr=0.1)
    (w * w).sum().backward()
    optimizer.step()
    np.testing.assert_allclose(w.numpy(), np.full(3, 0.8), rtol=1e-6)
    with pytest.raises(gl.errors.IndexRangeError):
        beyond.numpy()
