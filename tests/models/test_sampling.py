"""Symbols drawn from a network's predictions, and networks that do not look ahead."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina import models, nn, optim

NETS = {
    "gpt": lambda: models.GPT(5, context=12, width=12, layers=1, heads=2, dropout=0.1),
    "wavenet": lambda: models.WaveNet(5, 6, 8, layers=3, stacks=1),
    "lstm": lambda: models.CharLSTM(5, 6, 16, layers=1),
    "switch": lambda: models.SwitchTransformer(5, 12, 12, 1, 2, 2, 16, capacity_factor=9.0),
}


@pytest.mark.parametrize("name", NETS)
def test_what_comes_later_changes_nothing_before(name: str) -> None:
    gl.manual_seed(0)
    net = NETS[name]().eval()
    x = np.random.default_rng(0).integers(0, 5, (2, 12))
    first = net(gl.tensor(x)).numpy()
    x[:, 7] = (x[:, 7] + 1) % 5
    other = net(gl.tensor(x)).numpy()
    np.testing.assert_allclose(other[:, :7], first[:, :7], rtol=1e-5, atol=1e-6)
    assert (np.abs(other[:, 7] - first[:, 7]) > 1e-4).any()


def test_the_receptive_field_of_wavenet() -> None:
    gl.manual_seed(0)
    net = models.WaveNet(5, 6, 8, layers=3, stacks=1).eval()
    assert net.receptive_field == 9
    x = np.zeros((1, 20), np.int64)
    before = net(gl.tensor(x)).numpy()
    x[0, 5] = 1
    changed = np.abs(net(gl.tensor(x)).numpy() - before).max(-1)[0] > 0
    assert np.flatnonzero(changed).tolist() == list(range(5, 5 + 9))


@pytest.mark.parametrize("name", ["gpt", "wavenet", "lstm"])
def test_a_learnt_sequence_is_continued(name: str) -> None:
    gl.manual_seed(0)
    net = NETS[name]()
    text = np.array([0, 1, 2, 3, 4, 3, 2, 1] * 4)
    x = np.stack([text[i : i + 12] for i in range(8)])
    y = np.stack([text[i + 1 : i + 13] for i in range(8)])
    net.compile(lambda p: optim.Adam(p, lr=0.02), "cross_entropy")
    net.fit(x, y, batch_size=8, epochs=120, verbose=0)
    net.train()
    found = models.sample(net, text[:6], 14, temperature=0)
    assert found.tolist() == text[:20].tolist()
    assert net.training


def test_the_states_of_an_lstm_are_those_of_the_whole_text() -> None:
    gl.manual_seed(1)
    net = models.CharLSTM(5, 4, 6, layers=2)
    x = gl.tensor(np.random.default_rng(0).integers(0, 5, (2, 9)))
    whole = net(x).numpy()
    first, states = net.continued(x[:, :4], net.begin(2))
    second, _ = net.continued(x[:, 4:], states)
    parts = np.concatenate([first.numpy(), second.numpy()], 1)
    np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-6)


class Fixed(nn.Module):
    """The same logits at every step."""

    def __init__(self, logits: list[float]) -> None:
        self.table = nn.Parameter(np.array([logits] * 3, np.float32))

    def forward(self, x: Any) -> Any:
        return gl.take(self.table, x.reshape((-1,)), axis=0).reshape((*x.shape, 3))


def test_draws_follow_the_predictions() -> None:
    net = Fixed([0.0, float(np.log(2)), float(np.log(3))])
    shares = np.bincount(models.sample(net, [0], 1500, seed=0)[1:]) / 1500
    np.testing.assert_allclose(shares, [1 / 6, 2 / 6, 3 / 6], atol=0.05)
    sharper = np.bincount(models.sample(net, [0], 1500, temperature=0.5, seed=0)[1:]) / 1500
    np.testing.assert_allclose(sharper, np.array([1, 4, 9]) / 14, atol=0.05)
    assert set(models.sample(net, [0], 100, top=2, seed=0)[1:]) == {1, 2}
    again = models.sample(net, [0], 20, seed=3)
    np.testing.assert_array_equal(models.sample(net, [0], 20, seed=3), again)


def test_errors() -> None:
    net = Fixed([0.0, 1.0, 2.0])
    with pytest.raises(ValueError, match=r"start must be at least one symbol, whole .*got \[\]"):
        models.sample(net, [], 3)
    with pytest.raises(ValueError, match="temperature must not be negative, got -1"):
        models.sample(net, [1], 3, temperature=-1)
    with pytest.raises(ValueError, match="top must be a whole number of at least 1, got 0"):
        models.sample(net, [1], 3, top=0)
