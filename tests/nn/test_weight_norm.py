"""Weight and spectral normalisation: against NumPy, compiled as plain, saved, copied, removed."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina import nn, optim
from glubina.nn import utils
from glubina.tensor.random import default_generator

RANDOM = np.random.default_rng(6)
LAYERS: dict[str, tuple[Any, Any]] = {
    "Linear": (lambda: nn.Linear(5, 4), (3, 5)),
    "Conv2d": (lambda: nn.Conv2d(3, 4, 3, groups=1), (2, 6, 6, 3)),
    "Conv1d": (lambda: nn.Conv1d(2, 4, 3), (2, 6, 2)),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(3, 4, 3), (2, 4, 4, 3)),
}
BOTH = [utils, utils.parametrizations]


def _rows(kind: str, weight: Any, dim: int) -> Any:
    """The weight as a matrix with the rows that PyTorch's dim means."""
    axis = dim
    if weight.ndim > 2:
        out, into = weight.ndim - 1, weight.ndim - 2
        axis = ((into, out) if kind.startswith("ConvT") else (out, into))[dim]
    return np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("names", BOTH)
@pytest.mark.parametrize("dim", [0, 1, None])
def test_weight_norm(kind: str, names: Any, dim: int | None) -> None:
    gl.manual_seed(0)
    make, shape = LAYERS[kind]
    layer = make()
    weight, x = layer.weight.numpy(), gl.tensor(RANDOM.standard_normal(shape).astype("f"))
    before = layer(x).numpy()
    assert names.weight_norm(layer, dim=dim) is layer
    np.testing.assert_allclose(layer(x).numpy(), before, rtol=1e-5, atol=1e-6)
    g, v = (p for n, p in layer.named_parameters() if n != "bias")
    np.testing.assert_allclose(v.numpy(), weight)
    rows = weight.reshape(1, -1) if dim is None else _rows(kind, weight, dim)
    np.testing.assert_allclose(g.numpy().ravel(), np.linalg.norm(rows, axis=1), rtol=1e-6)
    assert g.shape == () if dim is None else g.ndim == v.ndim
    with gl.no_grad():
        g *= 3.0
        v *= 7.0
    np.testing.assert_allclose(layer.weight.numpy(), 3 * weight, rtol=1e-5)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("names", BOTH)
def test_spectral_norm_follows_the_power_iteration(kind: str, names: Any) -> None:
    gl.manual_seed(0)
    make, shape = LAYERS[kind]
    layer = make()
    weight = layer.weight.numpy()
    names.spectral_norm(layer, n_power_iterations=2)
    (_, u), (_, v) = layer.named_buffers()
    rows = _rows(kind, weight, 1 if kind.startswith("ConvT") else 0)
    a, b = u.numpy().astype("d"), v.numpy().astype("d")
    assert np.isclose(np.linalg.norm(a), 1)
    x = gl.tensor(RANDOM.standard_normal(shape).astype("f"))
    for _ in range(3):
        for _ in range(2):
            if names is utils:
                b = rows.T @ a / np.linalg.norm(rows.T @ a)
                a = rows @ b / np.linalg.norm(rows @ b)
            else:
                a = rows @ b / np.linalg.norm(rows @ b)
                b = rows.T @ a / np.linalg.norm(rows.T @ a)
        layer(x).numpy()
        np.testing.assert_allclose(u.numpy(), a, atol=1e-5)
        np.testing.assert_allclose(v.numpy(), b, atol=1e-5)
    layer.eval()
    layer(x).numpy()
    np.testing.assert_allclose(u.numpy(), a, atol=1e-5)  # in use they stay
    np.testing.assert_allclose(layer.weight.numpy(), weight / (a @ rows @ b), rtol=1e-4, atol=1e-5)
    layer.train()
    for _ in range(30):
        layer(x)
    found = np.linalg.svd(_rows(kind, layer.weight.numpy(), int(kind.startswith("ConvT"))))[1]
    assert abs(found[0] - 1) < 1e-3


RULES = [
    (names, rule) for names in BOTH for rule in ("weight_norm", "spectral_norm")
]  # each with the names of both


def _net(names: Any, rule: str) -> Any:
    gl.manual_seed(3)
    apply = getattr(names, rule)
    return nn.Sequential(
        apply(nn.Conv2d(1, 3, 3)), nn.ReLU(), nn.Flatten(), apply(nn.Linear(48, 4))
    )


@pytest.mark.parametrize(("names", "rule"), RULES)
def test_compiled_and_fit_as_plain(names: Any, rule: str) -> None:
    x = RANDOM.standard_normal((8, 6, 6, 1)).astype("f")
    y = RANDOM.integers(0, 4, 8)
    nets = [_net(names, rule) for _ in range(3)]
    rules = [optim.SGD(net.parameters(), lr=0.1) for net in nets]

    def step(net: Any, optimizer: Any, x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    fast = gl.compile(lambda x, y: step(nets[1], rules[1], x, y))
    losses = []
    for _ in range(4):
        losses.append(step(nets[0], rules[0], gl.tensor(x), gl.tensor(y)).item())
        np.testing.assert_allclose(fast(gl.tensor(x), gl.tensor(y)).item(), losses[-1], rtol=1e-5)
    assert losses[-1] < losses[0]
    nets[2].compile(rules[2], "cross_entropy")
    nets[2].fit(x, y, batch_size=8, epochs=4, shuffle=False, verbose=0)
    for name, value in nets[0].state_dict().items():
        for other in nets[1:]:
            found = other.state_dict()[name].numpy()
            np.testing.assert_allclose(found, value.numpy(), rtol=1e-4, atol=1e-5)
    nets[1].compile(rules[1], "cross_entropy")
    np.testing.assert_allclose(nets[2].predict(x), nets[1].predict(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("names", "rule"), RULES)
def test_described_saved_copied(names: Any, rule: str, tmp_path: Any) -> None:
    net = _net(names, rule)
    x = gl.tensor(RANDOM.standard_normal((2, 6, 6, 1)).astype("f"))
    net(x).numpy()
    net.eval()
    nn.save_model(net, tmp_path)
    loaded, copied = nn.load_model(tmp_path).model, copy.deepcopy(net)
    for other in (loaded, copied):
        np.testing.assert_array_equal(other(x).numpy(), net(x).numpy())
        assert [*other.state_dict()] == [*net.state_dict()]
    next(iter(copied.parameters())).detach().zero_()
    assert next(iter(net.parameters())).numpy().any()
    assert rule in repr(net)
    assert net.double()(x.astype("float64")).dtype == np.float64


@pytest.mark.parametrize(("names", "rule"), RULES)
def test_removed(names: Any, rule: str) -> None:
    layer = nn.Linear(5, 4)
    getattr(names, rule)(layer)
    assert utils.parametrize.is_parametrized(layer, "weight")
    weight, state = layer.weight.numpy(), default_generator.get_state()
    if names is utils:
        getattr(utils, f"remove_{rule}")(layer)
    else:
        utils.parametrize.remove_parametrizations(layer, "weight")
    assert type(layer) is nn.Linear
    assert not utils.parametrize.is_parametrized(layer)
    assert [name for name, _ in layer.named_parameters()] == ["bias", "weight"]
    assert not dict(layer.named_buffers())
    np.testing.assert_array_equal(layer.weight.numpy(), weight)
    assert default_generator.get_state() == state


def test_several_weights_of_a_recurrent_layer_and_frozen_ones() -> None:
    gl.manual_seed(0)
    lstm = nn.LSTM(3, 4)
    x = gl.tensor(RANDOM.standard_normal((5, 2, 3)).astype("f"))
    before = lstm(x)[0].numpy()
    lstm.weight_hh_l0.requires_grad_(False)
    for name in ("weight_hh_l0", "weight_ih_l0"):
        utils.weight_norm(lstm, name)
    np.testing.assert_allclose(lstm(x)[0].numpy(), before, rtol=1e-5, atol=1e-6)
    assert not lstm.weight_hh_l0_v.requires_grad
    assert lstm.weight_ih_l0_v.requires_grad
    again = nn.build(nn.describe(lstm))
    again.load_state_dict(lstm.state_dict())
    np.testing.assert_allclose(again(x)[0].numpy(), before, rtol=1e-5, atol=1e-6)


def test_setting_the_weight() -> None:
    layer = utils.weight_norm(nn.Linear(3, 2))
    values = RANDOM.standard_normal((2, 3)).astype("f")
    layer.weight = gl.tensor(values)
    np.testing.assert_allclose(layer.weight.numpy(), values, rtol=1e-6)
    np.testing.assert_allclose(layer.weight_g.numpy()[:, 0], np.linalg.norm(values, axis=1), 1e-6)


def test_errors() -> None:
    layer = nn.Linear(3, 2)
    with pytest.raises(ValueError, match="Linear has no parameter 'weights'; it has weight, bias"):
        utils.weight_norm(layer, "weights")
    with pytest.raises(ValueError, match=r"dim must be from 0 to 1, or None, .* got 2"):
        utils.weight_norm(layer, dim=2)
    with pytest.raises(ValueError, match=r"n_power_iterations must be a whole number .* got 0"):
        utils.spectral_norm(layer, n_power_iterations=0)
    with pytest.raises(ValueError, match="eps must be above 0, got -1"):
        utils.spectral_norm(layer, eps=-1)
    with pytest.raises(ValueError, match="needs at least 2 axes"):
        utils.spectral_norm(layer, "bias")
    with pytest.raises(ValueError, match=r"shape of LazyLinear\.weight is not known yet"):
        utils.weight_norm(nn.LazyLinear(3))
    utils.weight_norm(layer)
    with pytest.raises(ValueError, match=r"Linear\.weight is computed by a rule already"):
        utils.spectral_norm(layer)
    with pytest.raises(ValueError, match=r"Linear\.weight is not computed by such a rule"):
        utils.remove_spectral_norm(layer)
    with pytest.raises(ValueError, match="leave_parametrized=False is not supported"):
        utils.parametrize.remove_parametrizations(layer, "weight", False)


def test_pytorch_s_names_and_layouts() -> None:
    import glubina.torch.nn as face

    conv = face.utils.weight_norm(face.Conv2d(3, 4, 5))
    assert {n: tuple(v.shape) for n, v in conv.state_dict().items()} == {
        "bias": (4,),
        "weight_g": (4, 1, 1, 1),
        "weight_v": (4, 3, 5, 5),
    }
    face.utils.remove_weight_norm(conv)
    assert [*conv.state_dict()] == ["bias", "weight"]
    turned = face.utils.parametrizations.spectral_norm(face.ConvTranspose2d(3, 4, 5))
    assert {n: tuple(v.shape) for n, v in turned.state_dict().items()} == {
        "bias": (4,),
        "parametrizations.weight.original": (3, 4, 5, 5),
        "parametrizations.weight.0._u": (4,),
        "parametrizations.weight.0._v": (75,),
    }


def test_a_parameter_of_rank_0_stays_one() -> None:
    scale = nn.Parameter(2.0)
    assert scale.shape == ()
    (scale * 3.0).backward()
    assert scale.grad.item() == 3
