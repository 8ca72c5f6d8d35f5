"""Layers of the face: PyTorch's layouts and signatures, agreement with the layers they stand on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glubina as gl
import glubina.torch as torch
import glubina.torch.nn as nn
import glubina.torch.nn.functional as F
from glubina.files.tensors import write_tensors
from glubina.torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler, random_split

SHAPES: dict[str, tuple[Any, dict[str, tuple[int, ...]]]] = {
    "Conv1d": (lambda: nn.Conv1d(2, 4, 3), {"weight": (4, 2, 3), "bias": (4,)}),
    "Conv2d": (lambda: nn.Conv2d(4, 6, (3, 5), groups=2), {"weight": (6, 2, 3, 5), "bias": (6,)}),
    "Conv3d": (lambda: nn.Conv3d(1, 2, 3, bias=False), {"weight": (2, 1, 3, 3, 3)}),
    "ConvTranspose2d": (
        lambda: nn.ConvTranspose2d(4, 6, 3, groups=2),
        {"weight": (4, 3, 3, 3), "bias": (6,)},
    ),
    "Linear": (lambda: nn.Linear(3, 5), {"weight": (5, 3), "bias": (5,)}),
    "LSTM": (
        lambda: nn.LSTM(3, 5),
        {"weight_ih_l0": (20, 3), "weight_hh_l0": (20, 5), "bias_ih_l0": (20,),
         "bias_hh_l0": (20,)},
    ),
    "BatchNorm2d": (
        lambda: nn.BatchNorm2d(3),
        {"weight": (3,), "bias": (3,), "running_mean": (3,), "running_var": (3,),
         "num_batches_tracked": ()},
    ),
    "MultiheadAttention": (
        lambda: nn.MultiheadAttention(4, 2),
        {"in_proj_weight": (12, 4), "in_proj_bias": (12,), "out_proj.weight": (4, 4),
         "out_proj.bias": (4,)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_state_dicts_have_pytorchs_names_and_layouts(name: str) -> None:
    make, wanted = SHAPES[name]
    module = make()
    assert {k: tuple(v.shape) for k, v in module.state_dict().items()} == wanted
    assert all(type(p) is nn.Parameter for p in module.parameters())


def convolved(x: np.ndarray, w: np.ndarray, stride: int) -> np.ndarray:
    """The sum over windows, as the definition has it; (N, C, H, W) and (O, C, KH, KW)."""
    rows = (x.shape[2] - w.shape[2]) // stride + 1
    columns = (x.shape[3] - w.shape[3]) // stride + 1
    y = np.zeros((len(x), len(w), rows, columns))
    for i in range(rows):
        for j in range(columns):
            part = x[
                :, :, i * stride : i * stride + w.shape[2], j * stride : j * stride + w.shape[3]
            ]
            y[:, :, i, j] = np.einsum("nchw,ochw->no", part, w)
    return y


@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_agrees_with_its_definition(stride: int) -> None:
    layer = nn.Conv2d(3, 4, (3, 2), stride=stride)
    x = torch.randn(2, 3, 6, 7)
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    wanted = convolved(x.numpy(), weight, stride) + bias[:, None, None]
    np.testing.assert_allclose(layer(x).detach().numpy(), wanted, rtol=1e-4, atol=1e-5)
    found = F.conv2d(x, layer.weight, layer.bias, stride=stride)
    np.testing.assert_allclose(found.detach().numpy(), wanted, rtol=1e-4, atol=1e-5)
    single = layer(x[0])
    np.testing.assert_allclose(single.detach().numpy(), wanted[0], rtol=1e-4, atol=1e-5)


def test_a_transposed_convolution_is_the_derivative_of_the_convolution() -> None:
    layer = nn.ConvTranspose2d(3, 2, 3, stride=2, bias=False)
    x = torch.randn(2, 3, 4, 4)
    y = layer(x)
    image = torch.zeros(2, 2, 9, 9, requires_grad=True)
    (F.conv2d(image, layer.weight, stride=2) * x).sum().backward()
    np.testing.assert_allclose(y.detach().numpy(), image.grad.numpy(), rtol=1e-4, atol=1e-5)


IMAGES: dict[str, tuple[Any, Any]] = {
    "MaxPool2d": (nn.MaxPool2d(2), gl.nn.MaxPool2d(2)),
    "AvgPool2d": (nn.AvgPool2d(3, 2, 1), gl.nn.AvgPool2d(3, 2, 1)),
    "AdaptiveAvgPool2d": (nn.AdaptiveAvgPool2d((2, 3)), gl.nn.AdaptiveAvgPool2d((2, 3))),
    "BatchNorm2d": (nn.BatchNorm2d(4), gl.nn.BatchNorm2d(4)),
    "GroupNorm": (nn.GroupNorm(2, 4), gl.nn.GroupNorm(2, 4)),
    "InstanceNorm2d": (nn.InstanceNorm2d(4), gl.nn.InstanceNorm2d(4)),
    "ReflectionPad2d": (nn.ReflectionPad2d((1, 2, 0, 1)), gl.nn.ReflectionPad2d((1, 2, 0, 1))),
    "PixelShuffle": (nn.PixelShuffle(2), gl.nn.PixelShuffle(2)),
    "Upsample": (nn.Upsample(scale_factor=2), gl.nn.Upsample(scale_factor=2)),
    "PReLU": (nn.PReLU(4), gl.nn.PReLU(4)),
}


@pytest.mark.parametrize("name", IMAGES)
def test_image_layers_are_the_channels_last_ones_turned(name: str) -> None:
    first, last = IMAGES[name]
    x = torch.randn(2, 4, 6, 6)
    wanted = last(gl.tensor(x.numpy().transpose(0, 2, 3, 1))).numpy().transpose(0, 3, 1, 2)
    np.testing.assert_allclose(first(x).detach().numpy(), wanted, rtol=1e-5, atol=1e-6)


def test_classes_are_on_axis_1() -> None:
    logits = torch.randn(2, 5, 3, 3)
    labels = torch.randint(0, 5, (2, 3, 3))
    logs = np.log(np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(1, keepdims=True))
    picked = np.take_along_axis(logs, labels.numpy()[:, None], 1)
    for loss in (F.cross_entropy(logits, labels), nn.CrossEntropyLoss()(logits, labels)):
        assert loss.item() == pytest.approx(-picked.mean(), rel=1e-5)
    assert F.nll_loss(F.log_softmax(logits, dim=1), labels).item() == pytest.approx(
        -picked.mean(), rel=1e-5
    )
    ignoring = torch.tensor([0, -100])
    two = torch.randn(2, 5)
    assert F.cross_entropy(two, ignoring).item() == pytest.approx(
        F.cross_entropy(two[:1], ignoring[:1]).item(), rel=1e-5
    )


def test_initialisers_see_pytorchs_fans() -> None:
    torch.manual_seed(0)
    weight = torch.empty(64, 32, 3, 3)
    nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")
    assert weight.std().item() == pytest.approx(np.sqrt(2 / (64 * 9)), rel=0.03)
    nn.init.xavier_uniform_(weight)
    assert abs(weight).max().item() <= np.sqrt(6 / (9 * 96)) + 1e-6
    nn.init.orthogonal_(weight)
    rows = weight.reshape(64, -1)
    np.testing.assert_allclose((rows @ rows.t()).numpy(), np.eye(64), atol=1e-4)


def test_weights_of_another_framework_are_loaded(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "0.weight": rng.standard_normal((4, 3, 3, 3)).astype(np.float32),
        "0.bias": rng.standard_normal(4).astype(np.float32),
        "2.weight": rng.standard_normal((2, 64)).astype(np.float32),
        "2.bias": rng.standard_normal(2).astype(np.float32),
    }
    path = tmp_path / "weights.safetensors"
    write_tensors(path, arrays)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(64, 2))
    net.load_state_dict(torch.load(path))
    x = rng.standard_normal((2, 3, 6, 6)).astype(np.float32)
    hidden = convolved(x, arrays["0.weight"], 1) + arrays["0.bias"][:, None, None]
    wanted = hidden.reshape(2, -1) @ arrays["2.weight"].T + arrays["2.bias"]
    np.testing.assert_allclose(net(torch.tensor(x)).detach().numpy(), wanted, rtol=1e-4, atol=1e-3)


def test_what_cannot_be_saved_or_loaded(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"of a model save model\.state_dict\(\)"):
        torch.save(nn.Linear(2, 2), tmp_path / "model.pt")
    with pytest.raises(TypeError, match=r"got a Linear at \['model'\]"):
        torch.save({"epoch": 3, "model": nn.Linear(2, 2)}, tmp_path / "model.pt")
    (tmp_path / "old.pt").write_bytes(b"PK\x03\x04 a zip of pickles")
    with pytest.raises(ValueError, match="is a pickle of PyTorch's"):
        torch.load(tmp_path / "old.pt")


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: nn.Conv2d(3, 4), TypeError, "Conv2d: kernel_size must be given"),
        (lambda: nn.Linear(3, 4, biased=True), TypeError, "Linear: 'biased' is unknown; it takes"),
        (lambda: nn.AdaptiveMaxPool2d(2, return_indices=True), NotImplementedError,
         "return_indices can only be False here, got True"),
        (lambda: nn.Conv2d(3, 4, 3)(torch.zeros(1, 8, 8, 3)), gl.errors.ShapeError,
         r"\(N, C, H, W\) with C = 3, got \(1, 8, 8, 3\); channels come first here"),
        (lambda: nn.Conv2D, AttributeError, "did you mean Conv2d?"),
        (lambda: nn.utils.rnn.pack_padded_sequence(torch.zeros(3, 2), [2, 3]), RuntimeError,
         "enforce_sorted=False"),
        (lambda: random_split(TensorDataset(torch.zeros(5)), [2, 2]), ValueError, "make 4, the"),
        (lambda: TensorDataset(torch.zeros(5), torch.zeros(4)), ValueError, "lengths differ"),
        (lambda: DataLoader(TensorDataset(torch.zeros(5)), batch_size=0), ValueError,
         "batch_size must be a whole number of at least 1, got 0"),
    ],
)  # fmt: skip
def test_errors_say_what_is_wrong(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


def test_samplers_and_splits() -> None:
    torch.manual_seed(0)
    data = TensorDataset(torch.arange(10))
    parts = random_split(data, [0.7, 0.3])
    assert [len(p) for p in parts] == [7, 3]
    assert sorted(int(row[0]) for part in parts for row in part) == list(range(10))
    sampler = WeightedRandomSampler([0.0] * 9 + [1.0], num_samples=4)
    (batch,) = DataLoader(data, batch_size=4, sampler=sampler)
    assert batch[0].tolist() == [9, 9, 9, 9]
    lazy = nn.LazyLinear(3)
    assert lazy(torch.zeros(2, 7)).shape == (2, 3)
    assert type(lazy) is nn.Linear
