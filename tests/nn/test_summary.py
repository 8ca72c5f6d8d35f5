"""The summary's figures: published arithmetic, and the plan of a training step."""

from __future__ import annotations

import numpy as np
import pytest

import glubina as gl
from glubina import models, nn, optim
from glubina.runtime import observers


# multiply-adds of one example, in millions, as the papers and their authors' lists have them
@pytest.mark.parametrize(
    ("name", "shape", "millions"),
    [
        ("lenet5", (28, 28, 1), 0.42),
        ("resnet20", (32, 32, 3), 40.8),
        ("resnet18", (224, 224, 3), 1814),
        ("mobilenet", (224, 224, 3), 569),
        ("mobilenet-v2", (224, 224, 3), 301),
    ],
)
def test_arithmetic_of_published_networks(
    name: str, shape: tuple[int, ...], millions: float
) -> None:
    found = nn.summary(models.make(name), shape)
    assert found.flops is not None
    # besides the multiply-adds there are additions of biases, normalisation, activations
    assert 2e6 * millions * 0.99 < found.flops < 2e6 * millions * 1.1


def test_a_planned_step_is_the_step_that_runs() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(),
        nn.Linear(8 * 64, 10),
    )  # fmt: skip
    network.compile(optim.Adam(network.parameters()), nn.CrossEntropyLoss())
    before = {name: value.numpy() for name, value in network.state_dict().items()}
    planned = nn.summary(network, (8, 8, 3), batch_size=16).step
    assert planned is not None
    for name, value in network.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])
    assert all(p.grad is None for p in network.parameters())

    made: list[observers.CompileEvent] = []
    x = np.ones((16, 8, 8, 3), np.float32)
    optimizer, loss_function = optim.Adam(network.parameters()), nn.CrossEntropyLoss()

    def step(x: object, y: object) -> object:
        network.zero_grad()
        loss = loss_function(network(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    with observers.compilations.watching(made.append):
        gl.compile(step)(gl.tensor(x), gl.tensor(np.arange(16) % 10))
    plan = made[-1].plan
    assert planned.working == plan.arena_bytes
    forward = nn.summary(network, (8, 8, 3)).flops
    assert forward is not None
    assert 2.2 < planned.flops / (16 * forward) < 3.6
    assert planned.peak == planned.working + planned.held


def test_a_step_without_a_loss_and_with_regression_targets() -> None:
    network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    plain = nn.summary(network, (4,), batch_size=32).step
    network.compile(optim.SGD(network.parameters(), lr=0.1), nn.MSELoss())
    compiled = nn.summary(network, (4,), batch_size=32).step
    assert plain is not None
    assert compiled is not None
    assert compiled.flops > plain.flops


def test_a_mini_batch_tells_shape_dtype_and_size() -> None:
    network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    expected = nn.summary(network, (4,), batch_size=32)
    assert nn.summary(network, np.ones((32, 4), np.float32)) == expected
    assert nn.summary(network, gl.ones((32, 4))) == expected
    words = nn.Sequential(nn.Embedding(10, 4))
    assert nn.summary(words, gl.ones((3, 5), dtype=gl.int64)).rows[0].output == (5, 4)
    with pytest.raises(ValueError, match="has an axis of examples"):
        nn.summary(network, gl.ones(()))


def test_the_text_names_the_step() -> None:
    network = nn.Sequential(nn.Linear(4, 8))
    assert "a training step of 32: " in str(nn.summary(network, (4,), batch_size=32))
    with pytest.raises(ValueError, match="a batch_size needs the input_shape too"):
        nn.summary(network, batch_size=32)
    with pytest.raises(ValueError, match="batch_size"):
        nn.summary(network, (4,), batch_size=0)
