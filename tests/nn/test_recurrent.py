"""Recurrent layers, their cells and the embedding, against plain NumPy loops."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from gradient_checks import check_gradients

import glubina as gl
from glubina import nn

RANDOM = np.random.default_rng(7)


def normal(*shape: int) -> Any:
    return 0.7 * RANDOM.standard_normal(shape)


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def oracle_step(kind: str, x: Any, states: list[Any], w: Any, u: Any, b: Any, v: Any) -> list[Any]:
    """One step, as the formulas in the docstrings say it."""
    xs, hs = x @ w.T + b, states[0] @ u.T + v
    if kind in ("tanh", "relu"):
        return [np.tanh(xs + hs) if kind == "tanh" else np.maximum(xs + hs, 0)]
    if kind == "gru":
        (xr, xz, xn), (hr, hz, hn) = np.split(xs, 3, 1), np.split(hs, 3, 1)
        r, z = sigmoid(xr + hr), sigmoid(xz + hz)
        n = np.tanh(xn + r * hn)
        return [(1 - z) * n + z * states[0]]
    i, f, g, o = np.split(xs + hs, 4, 1)
    c = sigmoid(f) * states[1] + sigmoid(i) * np.tanh(g)
    return [sigmoid(o) * np.tanh(c), c]


def oracle(net: Any, kind: str, x: Any, initial: list[Any], lengths: Any) -> tuple[Any, list[Any]]:
    """A whole network, sequence by sequence and step by step."""
    weights = {name: value.numpy() for name, value in net.state_dict().items()}
    finals: list[list[Any]] = [[] for _ in initial]
    directions = 2 if net.bidirectional else 1
    for layer in range(net.num_layers):
        outputs = []
        for d in range(directions):
            stems = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            names = [f"{stem}_l{layer}{'_reverse' * d}" for stem in stems]
            w, u, b, v = (weights.get(name, np.zeros(())) for name in names)
            y = np.zeros((*x.shape[:2], net.hidden_size))
            last = [np.zeros_like(s[0]) for s in initial]
            for k in range(x.shape[1]):
                states = [s[layer * directions + d, k : k + 1] for s in initial]
                steps = range(lengths[k])
                for t in reversed(steps) if d else steps:
                    states = oracle_step(kind, x[t, k : k + 1], states, w, u, b, v)
                    y[t, k] = states[0]
                for to, s in zip(last, states, strict=True):
                    to[k] = s
            outputs.append(y)
            for rows, s in zip(finals, last, strict=True):
                rows.append(s)
        x = np.concatenate(outputs, -1)
    return x, [np.stack(rows) for rows in finals]


def make(kind: str, *sizes: int, **options: Any) -> Any:
    if kind in ("tanh", "relu"):
        return nn.RNN(*sizes, nonlinearity=kind, **options)
    return {"lstm": nn.LSTM, "gru": nn.GRU}[kind](*sizes, **options)


def run(net: Any, kind: str, x: Any, initial: list[Any] | None, **more: Any) -> tuple[Any, list]:
    given = None if initial is None else [gl.tensor(s) for s in initial]
    if given is not None:
        given = tuple(given) if kind == "lstm" else given[0]
    y, finals = net(gl.tensor(x), given, **more)
    return y.numpy(), [f.numpy() for f in (finals if kind == "lstm" else [finals])]


KINDS = ("tanh", "relu", "lstm", "gru")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_layers": 2, "bidirectional": True},
        {"bias": False, "batch_first": True},
        {"bidirectional": True, "batch_first": True},
    ],
)
@pytest.mark.parametrize("given", [False, True])
def test_recurrent_layers(kind: str, options: dict[str, Any], given: bool) -> None:
    net = make(kind, 3, 5, **options).double()
    count = net.num_layers * (2 if net.bidirectional else 1)
    x = normal(6, 4, 3)
    initial = [normal(count, 4, 5) * given for _ in range(2 if kind == "lstm" else 1)]
    for lengths in (None, [6, 1, 3, 4]):
        shown = x.swapaxes(0, 1) if net.batch_first else x
        y, finals = run(net, kind, shown.copy(), initial if given else None, lengths=lengths)
        wanted, states = oracle(net, kind, x, initial, lengths or [6] * 4)
        y = y.swapaxes(0, 1) if net.batch_first else y
        np.testing.assert_allclose(y, wanted, rtol=1e-10, atol=1e-12)
        for a, b in zip(finals, states, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_recurrent_layers(kind: str) -> None:
    net = make(kind, 2, 3, bidirectional=True).double()
    names = [name for name, _ in net.named_parameters()]
    values = [value.numpy().copy() for value in net.parameters()]
    states = [normal(2, 2, 3) for _ in range(2 if kind == "lstm" else 1)]

    def loss(x: Any, *rest: Any) -> Any:
        held = rest[: len(states)]
        for name, value in zip(names, rest[len(states) :], strict=True):
            setattr(net, name, value)
        y, finals = net(x, tuple(held) if kind == "lstm" else held[0], lengths=[3, 2])
        total = (y**3).sum()
        for final in finals if kind == "lstm" else [finals]:
            total = total + (final**2).sum()
        return total

    check_gradients(loss, normal(3, 2, 2), *states, *values)


def test_a_sequence_without_a_batch() -> None:
    net = nn.LSTM(3, 4, bidirectional=True, batch_first=True)
    x = normal(5, 3).astype(np.float32)
    y, (h, c) = net(gl.tensor(x))
    other, (_, c1) = net(gl.tensor(x[None]))
    assert (y.shape, h.shape, c.shape) == ((5, 8), (2, 4), (2, 4))
    np.testing.assert_allclose(y.numpy(), other.numpy()[0], rtol=1e-6)
    np.testing.assert_allclose(c.numpy(), c1.numpy()[:, 0], rtol=1e-6)
    net(gl.tensor(x), (h, c))


@pytest.mark.parametrize(
    ("cell", "layer"),
    [(nn.RNNCell, nn.RNN), (nn.LSTMCell, nn.LSTM), (nn.GRUCell, nn.GRU)],
)
def test_cells_are_steps_of_layers(cell: Any, layer: Any) -> None:
    one, many = cell(3, 4), layer(3, 4)
    many.load_state_dict({f"{k}_l0": v for k, v in one.state_dict().items()})
    x = normal(5, 2, 3).astype(np.float32)
    states = None
    for row in x:
        states = one(gl.tensor(row), states)
    h = states[0] if cell is nn.LSTMCell else states
    _, finals = many(gl.tensor(x))
    last = finals[0] if cell is nn.LSTMCell else finals
    np.testing.assert_allclose(h.numpy(), last.numpy()[0], rtol=1e-5, atol=1e-6)
    single = one(gl.tensor(x[0, 0]))
    single = single[0] if cell is nn.LSTMCell else single
    assert single.shape == (4,)


class Tagger(nn.Module):
    def __init__(self, kind: str, dropout: float = 0.0) -> None:
        self.embed = nn.Embedding(11, 6, padding_idx=0)
        self.recurrent = make(kind, 6, 8, num_layers=2, batch_first=True, dropout=dropout)
        self.head = nn.Linear(8, 11)

    def forward(self, x: Any) -> Any:
        y, _ = self.recurrent(self.embed(x))
        return self.head(y)


def train(way: str, kind: str, x: Any, y: Any) -> dict[str, Any]:
    """The weights after three steps."""
    gl.manual_seed(3)
    net = Tagger(kind)
    optimizer = gl.optim.SGD(net.parameters(), lr=0.1)
    criterion = nn.CrossEntropyLoss()

    def step(a: Any, b: Any) -> Any:
        optimizer.zero_grad()
        loss = criterion(net(a), b)
        loss.backward()
        optimizer.step()
        return loss

    if way == "fit":
        net.compile(optimizer=optimizer, loss=criterion)
        net.fit(x, y, batch_size=32, epochs=3, shuffle=False, verbose=0)
    else:
        do = gl.compile(step) if way == "compiled" else step
        for _ in range(3):
            do(gl.tensor(x), gl.tensor(y))
    return {name: v.numpy().copy() for name, v in net.state_dict().items()}


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_three_ways_of_training_are_one(kind: str) -> None:
    x = np.random.default_rng(0).integers(0, 11, (32, 7))
    y = (x + np.roll(x, 1, 1)) % 11
    weights = train("loop", kind, x, y)
    for way in ("compiled", "fit"):
        for name, value in train(way, kind, x, y).items():
            np.testing.assert_allclose(value, weights[name], rtol=1e-4, atol=1e-6, err_msg=name)


def test_dropout_stands_between_layers() -> None:
    gl.manual_seed(0)
    net, x = nn.LSTM(3, 16, 2, dropout=0.5), gl.randn((5, 4, 3))
    a, b = net(x)[0].numpy(), net(x)[0].numpy()
    assert np.abs(a - b).max() > 1e-3
    net.eval()
    np.testing.assert_array_equal(net(x)[0].numpy(), net(x)[0].numpy())


def test_a_network_learns_to_remember() -> None:
    gl.manual_seed(0)
    x = np.random.default_rng(1).integers(1, 5, (256, 6))
    net = Tagger("gru")
    net.compile(optimizer=gl.optim.Adam(net.parameters(), lr=0.02), loss=nn.CrossEntropyLoss())
    before = np.concatenate([np.zeros((256, 2), np.int64), x[:, :-2]], 1)
    history = net.fit(x, before, batch_size=32, epochs=16, verbose=0)
    losses = history.history["loss"]
    assert losses[-1] < 0.25 * losses[0]


@pytest.mark.parametrize(
    "net",
    [
        nn.RNN(2, 3, nonlinearity="relu", bidirectional=True),
        nn.LSTM(2, 3, 2, dropout=0.5),
        nn.GRU(2, 3, bias=False, batch_first=True),
        nn.LSTMCell(2, 3, bias=False),
        nn.RNNCell(2, 3, nonlinearity="relu"),
        nn.Embedding(4, 3, padding_idx=-1),
    ],
    ids=lambda net: type(net).__name__,
)
def test_they_go_through_json(net: nn.Module) -> None:
    again = nn.build(json.loads(json.dumps(nn.describe(net))))
    assert repr(again) == repr(net)
    assert [(k, v.shape) for k, v in again.state_dict().items()] == [
        (k, v.shape) for k, v in net.state_dict().items()
    ]


def test_printed_forms_and_summaries() -> None:
    assert repr(nn.LSTM(2, 3, 2, dropout=0.5)) == "LSTM(2, 3, num_layers=2, dropout=0.5)"
    assert repr(nn.RNNCell(2, 3, nonlinearity="relu")) == "RNNCell(2, 3, nonlinearity='relu')"
    found = nn.summary(Tagger("lstm"), (7,), dtype=np.int64)
    row = {r.kind: r for r in found.rows}["LSTM"]
    assert row.output == (7, 8)
    products = 2 * 7 * (32 * (6 + 8) + 32 * (8 + 8))
    assert row.flops is not None
    assert products < row.flops < 1.3 * products


def test_embedding() -> None:
    net = nn.Embedding(6, 3, padding_idx=-2)
    table = net.weight.numpy()
    assert not table[4].any()
    x = np.array([[1, 4], [5, 1]])
    y = net(gl.tensor(x))
    np.testing.assert_array_equal(y.numpy(), table[x])
    y.sum().backward()
    assert net.weight.grad is not None
    assert net.weight.grad.numpy()[:, 0].tolist() == [0, 2, 0, 0, 0, 1]
    with pytest.raises(gl.errors.IndexRangeError, match="symbol 6 at position 0 is out of range"):
        net(gl.tensor([6])).numpy()
    with pytest.raises(gl.errors.DTypeError, match="expected a tensor of whole numbers, got float"):
        net(gl.tensor([1.0]))


def test_errors_say_what_was_expected() -> None:
    net, x = nn.LSTM(3, 4), gl.zeros((5, 2, 3))
    with pytest.raises(gl.errors.ShapeError, match=r"of shape \(steps, batch, 3\) or \(steps, 3\)"):
        net(gl.zeros((5, 2, 4)))
    with pytest.raises(gl.errors.ShapeError, match=r"h_0 of shape \(1, 2, 4\).*got \(1, 3, 4\)"):
        net(x, (gl.zeros((1, 3, 4)), gl.zeros((1, 2, 4))))
    with pytest.raises(gl.errors.ShapeError, match=r"expected lengths of shape \(2,\), got \(3,\)"):
        net(x, lengths=[1, 2, 3])
    with pytest.raises(ValueError, match="lengths must be whole numbers from 0 to 5"):
        net(x, lengths=[1, 6])
    with pytest.raises(ValueError, match="nonlinearity is 'tanh' or 'relu', got 'sine'"):
        nn.RNN(2, 3, nonlinearity="sine")
    with pytest.raises(gl.errors.ShapeError, match=r"input of shape \(batch, 3\), got \(2, 5\)"):
        nn.GRUCell(3, 4)(gl.zeros((2, 5)))
    with pytest.raises(gl.errors.ShapeError, match=r"states of shape \(2, 4\), got \(1, 4\)"):
        nn.GRUCell(3, 4)(gl.zeros((2, 3)), gl.zeros((1, 4)))
