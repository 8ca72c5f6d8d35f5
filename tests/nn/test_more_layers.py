"""Layers that few networks need, each against its definition in NumPy."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from gradient_checks import check_gradients
from nn_oracle import convolution

import glubina as gl
import glubina.torch.nn as torch_nn
from glubina import nn
from glubina.nn import functional as F

RANDOM = np.random.default_rng(2)


def normal(*shape: int) -> Any:
    return RANDOM.standard_normal(shape)


@pytest.mark.parametrize(("size", "beta"), [(1, 0.75), (2, 0.5), (5, 0.75), (4, 1.0), (9, 0.6)])
def test_local_response_norm(size: int, beta: float) -> None:
    x = normal(2, 3, 6)
    total = np.zeros_like(x)
    for c, j in itertools.product(range(6), range(6)):
        if c - size // 2 <= j <= c + (size - 1) // 2:
            total[..., c] += x[..., j] ** 2
    expected = x / (2 + 0.1 / size * total) ** beta
    found = F.local_response_norm(gl.tensor(x), size, 0.1, beta, 2.0).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("padding", ["valid", "same", 1])
def test_locally_connected(padding: Any) -> None:
    layer = nn.LocallyConnected2d(3, 4, (5, 6), (3, 2), (2, 1), padding)
    layer.double()
    x = normal(2, 5, 6, 3)
    rows, columns = layer.output_size
    around = {"valid": [(0, 0)] * 2, "same": [(1, 1), (0, 1)], 1: [(1, 1)] * 2}[padding]
    wide = np.pad(x, [(0, 0), *around, (0, 0)])
    weight, bias = layer.weight.numpy(), layer.bias.numpy()
    y = np.zeros((2, rows, columns, 4))
    for i, j in itertools.product(range(rows), range(columns)):
        part = wide[:, 2 * i : 2 * i + 3, j : j + 2].reshape(2, -1)
        y[:, i, j] = part @ weight[i * columns + j] + bias[i, j]
    np.testing.assert_allclose(layer(gl.tensor(x)).numpy(), y, rtol=1e-10)


def test_the_same_filter_everywhere_is_a_convolution() -> None:
    layer = nn.LocallyConnected2d(2, 3, 5, 3, bias=False)
    shared = normal(3, 3, 2, 3).astype(np.float32)
    layer.load_state_dict({"weight": np.broadcast_to(shared.reshape(1, 18, 3), (9, 18, 3)).copy()})
    x = normal(2, 5, 5, 2).astype(np.float32)
    expected = convolution(x, shared, 1, 0, 1, 1)
    np.testing.assert_allclose(layer(gl.tensor(x)).numpy(), expected, rtol=1e-4, atol=1e-5)


def test_unfold_and_fold() -> None:
    x, w = normal(2, 5, 6, 3), normal(3, 2, 3, 4)
    rows = F.unfold(gl.tensor(x), (3, 2), 1, 1, 2)
    y = (rows @ gl.tensor(w.reshape(-1, 4))).numpy()
    expected = convolution(x, w, 2, 1, 1, 1)
    np.testing.assert_allclose(y.reshape(expected.shape), expected, rtol=1e-10)
    # fold is the transpose of unfold: <unfold x, r> = <x, fold r>
    r = normal(*rows.shape)
    back = F.fold(gl.tensor(r), (5, 6), (3, 2), 1, 1, 2).numpy()
    np.testing.assert_allclose((rows.numpy() * r).sum(), (x * back).sum(), rtol=1e-10)
    first = x.transpose(0, 3, 1, 2)
    columns = torch_nn.Unfold(2)(gl.tensor(first.copy())).numpy()
    assert columns.shape == (2, 12, 20)
    np.testing.assert_array_equal(columns[0, :4, 0], first[0, 0, :2, :2].ravel())
    counts = torch_nn.Fold((5, 6), 2)(torch_nn.Unfold(2)(gl.tensor(np.ones_like(first)))).numpy()
    assert counts[0, 0, 0, 0] == 1
    assert counts[0, 0, 2, 2] == 4


def test_channel_shuffle() -> None:
    x = gl.tensor(np.arange(6.0).reshape(1, 6))
    assert F.channel_shuffle(x, 2).numpy().ravel().tolist() == [0, 3, 1, 4, 2, 5]
    with pytest.raises(ValueError, match="4 groups do not divide 6 channels"):
        F.channel_shuffle(x, 4)


def test_power_pooling() -> None:
    x = abs(normal(2, 4, 6, 3))
    boxes = x.reshape(2, 2, 2, 3, 2, 3)
    expected = (boxes**3).sum((2, 4)) ** (1 / 3)
    np.testing.assert_allclose(F.lp_pool2d(gl.tensor(x), 3, 2).numpy(), expected, rtol=1e-10)
    largest = F.max_pool2d(gl.tensor(x), 2).numpy()
    np.testing.assert_array_equal(nn.LPPool2d(float("inf"), 2)(gl.tensor(x)).numpy(), largest)
    for bad, error in ((0, ValueError), (-1, ValueError), ("a", TypeError)):
        with pytest.raises(error, match="norm_type must be"):
            nn.LPPool2d(bad, 2)  # type: ignore[arg-type]


def test_random_slopes() -> None:
    x = gl.tensor(np.full((1000,), -1.0, np.float32))
    slopes = -nn.RReLU(0.1, 0.3)(x).numpy()
    assert 0.1 <= slopes.min() < 0.12
    assert 0.28 < slopes.max() <= 0.3
    assert nn.RReLU(0.1, 0.3).eval()(x).numpy()[0] == pytest.approx(-0.2)


def test_bags() -> None:
    weight = normal(7, 3)
    rows = RANDOM.integers(0, 7, (4, 5))
    for mode, reduce in (("sum", np.sum), ("mean", np.mean), ("max", np.max)):
        found = F.embedding_bag(gl.tensor(rows), gl.tensor(weight), mode=mode).numpy()
        np.testing.assert_allclose(found, reduce(weight[rows], axis=1), rtol=1e-12)
    flat, offsets = rows.ravel(), np.array([0, 3, 3, 11])
    for mode, reduce in (("sum", np.sum), ("mean", np.mean)):
        given = gl.tensor(flat), gl.tensor(weight), gl.tensor(offsets), mode
        parts = [weight[part] for part in np.split(flat, offsets[1:])]
        expected = [reduce(p, axis=0) if len(p) else np.zeros(3) for p in parts]
        np.testing.assert_allclose(F.embedding_bag(*given).numpy(), expected, rtol=1e-12)
    layer = nn.EmbeddingBag(7, 3, padding_idx=-1)
    assert not layer.weight.numpy()[6].any()
    layer(gl.tensor(rows)).sum().backward()
    assert layer.weight.grad is not None
    with pytest.raises(ValueError, match="mode is 'sum', 'mean' or 'max', got 'min'"):
        nn.EmbeddingBag(7, 3, mode="min")


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding", [None, 1, -6])
def test_bags_with_padding_and_ends(mode: str, padding: int | None) -> None:
    weight = normal(7, 3)
    flat, ends = RANDOM.integers(0, 7, 20), np.array([0, 3, 3, 11, 16, 20])
    flat[11:16] = 1
    parts = np.split(flat, ends[1:-1])
    parts = [p if padding is None else p[p != 1] for p in parts]
    reduce = {"sum": np.sum, "mean": np.mean, "max": np.max}[mode]
    expected = [reduce(weight[p], axis=0) if len(p) else np.zeros(3) for p in parts]
    w = gl.tensor(weight)

    def bags(x: gl.Tensor, offsets: gl.Tensor, rows: gl.Tensor = w) -> gl.Tensor:
        return F.embedding_bag(x, rows, offsets, mode, None, True, padding)

    given = gl.tensor(flat), gl.tensor(ends)
    for run in (bags, gl.compile(bags)):
        np.testing.assert_allclose(run(*given).numpy(), expected, rtol=1e-12)
    rows = gl.tensor(flat.reshape(4, 5))
    both = F.embedding_bag(rows, w, None, mode, None, False, padding)
    starts = gl.tensor(np.arange(0, 20, 5))
    same = F.embedding_bag(given[0], w, starts, mode, None, False, padding)
    np.testing.assert_allclose(both.numpy(), same.numpy(), rtol=1e-12)
    assert gl.check_gradients(bags, *given, w)
    with pytest.raises(ValueError, match="padding_idx 7 is none of 7 symbols"):
        F.embedding_bag(rows, w, padding_idx=7)


def test_losses_of_several_labels() -> None:
    y, t = normal(3, 4), np.sign(normal(3, 4))
    soft = np.log1p(np.exp(-t * y))
    found = nn.SoftMarginLoss("none")(gl.tensor(y), gl.tensor(t)).numpy()
    np.testing.assert_allclose(found, soft, rtol=1e-10)
    found = nn.MultiLabelSoftMarginLoss(reduction="none")(gl.tensor(y), gl.tensor((t + 1) / 2))
    np.testing.assert_allclose(found.numpy(), soft.mean(1), rtol=1e-10)
    labels = np.array([[3, 0, -1, 1], [-1, 0, 1, 2], [2, 1, 0, 3]])
    expected = []
    for row, given in zip(y, labels):
        own = list(itertools.takewhile(lambda k: k >= 0, given))
        others = [j for j in range(4) if j not in own]
        expected.append(sum(max(0, 1 - (row[k] - row[j])) for k in own for j in others) / 4)
    loss = nn.MultiLabelMarginLoss("none")
    np.testing.assert_allclose(loss(gl.tensor(y), gl.tensor(labels)).numpy(), expected, rtol=1e-10)
    for function, target in (
        (F.soft_margin_loss, t), (F.multilabel_soft_margin_loss, (t + 1) / 2),
    ):  # fmt: skip
        check_gradients(lambda z, f=function, g=target: f(z, gl.tensor(g)), y)
    a, b, c = normal(5, 3), normal(5, 3), normal(5, 3)
    given = [gl.tensor(v) for v in (a, b, c)]
    found = nn.TripletMarginWithDistanceLoss(swap=True)(*given)
    np.testing.assert_allclose(
        found.item(), nn.TripletMarginLoss(swap=True)(*given).item(), rtol=1e-10
    )


@pytest.mark.parametrize("face", [nn, torch_nn])
def test_lazy_layers(face: Any) -> None:
    shape = (2, 5, 5, 3) if face is nn else (2, 3, 5, 5)
    net = face.Sequential(
        face.LazyConvTranspose2d(4, 3, 2), face.LazyBatchNorm2d(), face.LazyInstanceNorm2d()
    )
    saved = face.Sequential(
        face.ConvTranspose2d(3, 4, 3, 2), face.BatchNorm2d(4),
        face.InstanceNorm2d(4, affine=True, track_running_stats=True),
    )  # fmt: skip
    assert face is torch_nn or "not known yet" in repr(net)
    waiting = face.Sequential(face.LazyBatchNorm2d())
    waiting.load_state_dict(face.Sequential(saved[1]).state_dict())
    assert type(waiting[0]) is face.BatchNorm2d
    y = net(gl.tensor(normal(*shape).astype(np.float32)))
    assert y.shape == ((2, 11, 11, 4) if face is nn else (2, 4, 11, 11))
    assert [type(a) for a in net] == [type(b) for b in saved]
    assert {k: v.shape for k, v in net.state_dict().items()} == {
        k: v.shape for k, v in saved.state_dict().items()
    }


def test_the_size_that_a_transposed_convolution_shall_give() -> None:
    layer = nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1)
    x = gl.ones((1, 4, 4, 3))
    assert layer(x).shape == (1, 7, 7, 2)
    assert layer(x, output_size=(8, 7)).shape == (1, 8, 7, 2)
    text = r"output_size for an input of \(4, 4\) must be from \(7, 7\) to \(8, 8\), got 9"
    with pytest.raises(ValueError, match=text):
        layer(x, output_size=9)
    first = torch_nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1)
    assert first(gl.ones((1, 3, 4, 4)), output_size=[1, 2, 8, 8]).shape == (1, 2, 8, 8)


def test_the_whole_transformer() -> None:
    net = nn.Transformer(8, 2, 1, 1, 16, 0.0, batch_first=True)
    src, tgt = (gl.tensor(normal(2, n, 8).astype(np.float32)) for n in (5, 4))
    mask = net.generate_square_subsequent_mask(4)
    y = net(src, tgt, tgt_mask=mask)
    assert y.shape == (2, 4, 8)
    memory = net.encoder(src)
    np.testing.assert_allclose(
        y.numpy(), net.decoder(tgt, memory, tgt_mask=mask).numpy(), rtol=1e-5
    )
    y.sum().backward()
    assert all(p.grad is not None for p in net.parameters())
