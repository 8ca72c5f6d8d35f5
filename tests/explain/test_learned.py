"""What a network learned: every array against NumPy, finite differences or the network itself."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picture_files import size_of

import glubina as gl
from glubina import nn
from glubina.explain import ExplainError, landscape, learned
from glubina.files import MissingExtraError
from glubina.graph import ShapeError

RNG = np.random.default_rng(0)


class Pooled(nn.Module):
    """Convolutions, global average pooling and one Linear layer."""

    def __init__(self) -> None:
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.Tanh()
        )
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Any) -> Any:
        return self.head(self.drop(self.body(x).mean(axis=(1, 2))))


def pooled(dtype: Any = np.float64) -> tuple[Pooled, Any]:
    """The network and three images."""
    gl.manual_seed(1)
    model = Pooled()
    if dtype == np.float64:
        model.double()
    return model, RNG.standard_normal((3, 8, 8, 1)).astype(dtype)


def scores(model: nn.Module, x: Any) -> Any:
    """The outputs in use."""
    before = model.training
    model.eval()
    with gl.no_grad():
        found = model(gl.tensor(x)).numpy()
    model.train(before)
    return found


# -- filters ------------------------------------------------------------------------------------


def test_filters_are_the_weights() -> None:
    model, _ = pooled()
    found = learned.filters(model)
    weight = model.state_dict()["body.0.weight"].numpy()
    assert found.name == "body.0"
    assert found.images.shape == (4, 3, 3, 1)
    for number in range(4):
        np.testing.assert_array_equal(found.images[number], weight[..., number])
    assert learned.filters(model, "body.3").images.shape == (6, 3, 3, 4)


def test_filters_of_a_linear_layer() -> None:
    layer = nn.Linear(12, 5)
    found = learned.filters(layer, shape=(3, 4))
    np.testing.assert_array_equal(found.images[2, ..., 0], layer.weight.numpy()[2].reshape(3, 4))
    assert learned.filters(layer, shape=(2, 2, 3)).images.shape == (5, 2, 2, 3)
    assert learned.filters(nn.Linear(16, 2)).images.shape == (2, 4, 4, 1)
    with pytest.raises(ExplainError, match="12 inputs, which are no picture"):
        learned.filters(layer)
    with pytest.raises(ExplainError, match="no layer 'x'"):
        learned.filters(layer, "x")
    with pytest.raises(ExplainError, match="is a ReLU, not"):
        learned.filters(Pooled(), "body.1")


# -- feature maps -------------------------------------------------------------------------------


def test_feature_maps_are_what_the_layers_give() -> None:
    model, x = pooled()
    found = learned.feature_maps(model, x)
    assert list(found.maps) == [*(f"body.{i}" for i in range(5)), "drop", "head"]
    assert found.kinds["body.2"] == "MaxPool2d"
    np.testing.assert_allclose(found.maps["head"], scores(model, x), rtol=1e-12)
    np.testing.assert_array_equal(found.maps["body.1"], np.maximum(found.maps["body.0"], 0))
    np.testing.assert_array_equal(found.maps["drop"], found.maps["body.4"].mean(axis=(1, 2)))
    assert model.training
    assert not any(module._hooks for module in model.modules())


def test_feature_maps_of_some_layers_and_of_repeated_ones() -> None:
    layer = nn.Linear(3, 3)

    class Twice(nn.Module):
        def __init__(self) -> None:
            self.layer = layer

        def forward(self, x: Any) -> Any:
            return self.layer(self.layer(x)), 1

    x = RNG.standard_normal((2, 3)).astype(np.float32)
    found = learned.feature_maps(Twice(), x)
    assert list(found.maps) == ["layer", "layer (2)"]
    once = scores(layer, x)
    np.testing.assert_allclose(found.maps["layer (2)"], scores(layer, once), rtol=1e-6)
    model, images = pooled()
    assert list(learned.feature_maps(model, images, ["body"]).maps) == ["body"]
    with pytest.raises(ExplainError, match="no layer 'nose'"):
        learned.feature_maps(model, images, ["nose"])


def test_hooks_are_gone_after_an_error() -> None:
    model, _ = pooled()
    with pytest.raises(ShapeError):
        learned.feature_maps(model, np.zeros((1, 8, 8, 2)))
    assert not any(module._hooks for module in model.modules())
    assert model.training


# -- saliency, class-activation maps ------------------------------------------------------------


def test_saliency_is_the_derivative_by_the_input() -> None:
    model, x = pooled()
    found = learned.saliency(model, x, target=[2, 0, 1])
    for example, target in enumerate((2, 0, 1)):
        for place in ((0, 0), (3, 4), (7, 5)):
            moved = [x.copy(), x.copy()]
            for array, h in zip(moved, (1e-5, -1e-5), strict=True):
                array[(example, *place, 0)] += h
            up, down = (scores(model, array)[example, target] for array in moved)
            assert found.gradients[(example, *place, 0)] == pytest.approx(
                (up - down) / 2e-5, rel=1e-6, abs=1e-9
            )
    np.testing.assert_array_equal(found.maps, np.abs(found.gradients[..., 0]))
    default = learned.saliency(model, x)
    np.testing.assert_array_equal(default.targets, scores(model, x).argmax(axis=1))
    assert all(p.grad is None for p in model.parameters())


def test_smooth_saliency_of_a_linear_map_is_the_plain_one() -> None:
    model = nn.Linear(5, 3).double()
    x = RNG.standard_normal((4, 5))
    plain, smooth = learned.saliency(model, x, 1), learned.saliency(model, x, 1, smooth=3)
    np.testing.assert_allclose(smooth.gradients, plain.gradients, rtol=1e-12)
    np.testing.assert_allclose(plain.gradients, np.tile(model.weight.numpy()[1], (4, 1)))
    np.testing.assert_array_equal(plain.maps, np.abs(plain.gradients))


def test_smooth_saliency_is_a_mean_over_noise() -> None:
    """Of x² the gradient is linear, so the mean is 2 (x + the mean noise)."""

    class Square(nn.Module):
        def forward(self, x: Any) -> Any:
            return x**2

    x = np.array([[1.0, 3.0], [-2.0, 2.0]])
    found = learned.saliency(Square(), x, 0, smooth=4, noise=0.1, seed=5)
    rng = np.random.default_rng(5)
    noise = np.mean([rng.standard_normal(x.shape) for _ in range(4)], axis=0)
    expected = 2 * (x[:, 0] + 0.1 * np.ptp(x, axis=1) * noise[:, 0])
    np.testing.assert_allclose(found.gradients[:, 0], expected, rtol=1e-12)


def test_class_activation_maps_by_hand() -> None:
    model, x = pooled()
    maps = learned.feature_maps(model, x).maps["body.4"]
    weight, bias = (model.state_dict()[f"head.{n}"].numpy() for n in ("weight", "bias"))
    target = np.array([0, 2, 1])
    expected = np.einsum("nhwk,nk->nhw", maps, weight[target])
    found = learned.class_activation(model, x, target=target, method="cam")
    assert found.layer == "body.4"
    np.testing.assert_allclose(found.maps, expected, rtol=1e-10)
    np.testing.assert_allclose(
        found.maps.mean(axis=(1, 2)) + bias[target], scores(model, x)[np.arange(3), target]
    )
    graded = learned.class_activation(model, x, target=target)
    np.testing.assert_allclose(graded.maps, np.maximum(expected, 0) / 4, atol=1e-12)


def test_grad_cam_of_an_inner_layer_by_finite_differences() -> None:
    model, x = pooled()
    layers = list(model.body)
    found = learned.class_activation(model, x[:1], "body.0", target=1)
    features = learned.feature_maps(model, x[:1]).maps["body.0"]

    def rest(value: Any) -> float:
        result = gl.tensor(value)
        for layer in layers[1:]:
            result = layer(result)
        return float(model.head(result.mean(axis=(1, 2))).numpy()[0, 1])

    slopes = []
    for channel in range(4):
        step = np.zeros_like(features)
        step[..., channel] = 1e-6
        slopes.append((rest(features + step) - rest(features - step)) / 2e-6 / 64)
    expected = np.maximum(np.einsum("nhwk,k->nhw", features, slopes), 0)
    np.testing.assert_allclose(found.maps, expected, atol=1e-6)


def test_what_cannot_be_attributed_is_said() -> None:
    model, x = pooled()
    flat = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 3)).double()
    with pytest.raises(ExplainError, match="global average pooling"):
        learned.class_activation(flat, x, method="cam")
    with pytest.raises(ExplainError, match="'grad-cam' or 'cam'"):
        learned.class_activation(model, x, method="x")
    with pytest.raises(ExplainError, match="head gives no images"):
        learned.class_activation(model, x, "head")
    with pytest.raises(ExplainError, match="there are 3 classes"):
        learned.saliency(model, x, 3)
    with pytest.raises(ExplainError, match="a class or 3 classes"):
        learned.saliency(model, x, [0, 1])
    with pytest.raises(ExplainError, match=r"outputs of shape \(n, classes\)"):
        learned.saliency(nn.ReLU(), x)


# -- decisions ----------------------------------------------------------------------------------


def test_decision_regions_are_the_networks_answers() -> None:
    layer = nn.Linear(2, 3)
    x = RNG.standard_normal((20, 2)).astype(np.float32)
    found = learned.decision_regions(layer, x, np.arange(20) % 3, points=7)
    for row, column in ((0, 0), (3, 5), (6, 6)):
        point = np.array([[found.x[column], found.y[row]]], np.float32)
        np.testing.assert_allclose(found.scores[row, column], scores(layer, point)[0], atol=1e-5)
        assert found.classes[row, column] == scores(layer, point)[0].argmax()
    np.testing.assert_array_equal(found.predicted, scores(layer, x).argmax(axis=1))
    assert found.x[0] < x[:, 0].min() < x[:, 0].max() < found.x[-1]


def test_decision_regions_of_one_output() -> None:
    def right(x: Any) -> Any:
        return x[:, 0]

    x = np.array([[-1.0, 0.0], [2.0, 1.0]])
    found = learned.decision_regions(right, x, points=9)
    assert found.labels is None
    np.testing.assert_array_equal(found.classes, np.tile(found.x > 0, (9, 1)))
    assert found.predicted.tolist() == [0, 1]
    raised = learned.decision_regions(right, x, points=9, threshold=0.5)
    np.testing.assert_array_equal(raised.classes, np.tile(found.x > 0.5, (9, 1)))
    with pytest.raises(ExplainError, match=r"data \(n, 2\)"):
        learned.decision_regions(right, np.zeros((3, 4)))


def test_the_most_confused_pairs() -> None:
    y = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2])
    predicted = np.array([0, 1, 1, 1, 1, 2, 2, 1, 1])
    x = np.arange(9)[:, None]
    found = learned.most_confused(x, y, predicted)
    assert [(p.true, p.predicted, p.count) for p in found.pairs] == [
        (0, 1, 3),
        (2, 1, 2),
        (1, 2, 1),
    ]
    assert [p.indices.tolist() for p in found.pairs] == [[1, 2, 3], [7, 8], [5]]
    assert [p.share for p in found.pairs] == [3 / 4, 2 / 3, 1 / 2]
    certain = np.eye(3)[predicted] * np.linspace(1, 2, 9)[:, None]
    by_scores = learned.most_confused(x, y, certain, pairs=1)
    assert [p.indices.tolist() for p in by_scores.pairs] == [[3, 2, 1]]
    assert learned.most_confused(x, y, y).pairs == ()
    with pytest.raises(ExplainError, match="as many examples"):
        learned.most_confused(x, y, y[1:])


# -- attention ----------------------------------------------------------------------------------


def test_attention_maps_are_those_of_the_layers() -> None:
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    x = gl.tensor(RNG.standard_normal((3, 5, 8)).astype(np.float32))

    class Alone(nn.Module):
        def __init__(self) -> None:
            self.inner = layer

        def forward(self, x: Any) -> Any:
            return self.inner(x, x, x, None, False, is_causal=True)

    before = Alone()(x)
    found = learned.attention(Alone(), x)
    expected = layer(x, x, x, average_attn_weights=False, is_causal=True)[1].numpy()
    np.testing.assert_allclose(found.weights["inner"], expected, atol=1e-6)
    assert np.all(np.triu(found.weights["inner"][0, 0], 1) == 0)
    np.testing.assert_allclose(found.weights["inner"].sum(axis=-1), 1, rtol=1e-5)
    assert "forward" not in vars(layer)
    after = Alone()(x)
    assert before[1] is after[1] is None
    np.testing.assert_array_equal(before[0].numpy(), after[0].numpy())


def test_a_network_that_uses_the_weights_gets_them_as_it_asked() -> None:
    layer = nn.MultiheadAttention(4, 2)
    seen = []

    class Uses(nn.Module):
        def __init__(self) -> None:
            self.inner = layer

        def forward(self, x: Any) -> Any:
            seen.append(self.inner(x, x, x)[1].shape)
            return self.inner(x, x, x, average_attn_weights=False)[1]

    found = learned.attention(Uses(), np.zeros((6, 4), np.float32))
    assert seen == [(6, 6)]
    assert {n: w.shape for n, w in found.weights.items()} == dict.fromkeys(
        ("inner", "inner (2)"), (1, 2, 6, 6)
    )
    with pytest.raises(ExplainError, match="no MultiheadAttention in Linear"):
        learned.attention(nn.Linear(2, 2), np.zeros((1, 2)))


def test_attention_of_published_networks() -> None:
    model = gl.models.GPT(11, context=6, width=8, layers=2, heads=2)
    found = learned.attention(model, RNG.integers(0, 11, (1, 6)))
    assert len(found.weights) == 2
    for weights in found.weights.values():
        assert weights.shape == (1, 2, 6, 6)
        assert not np.triu(weights, 1).any()


def test_attention_of_a_transformer() -> None:
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)
    found = learned.attention(encoder, RNG.standard_normal((2, 4, 8)).astype(np.float32))
    assert list(found.weights) == ["layers.0.self_attn", "layers.1.self_attn"]
    assert all(weights.shape == (2, 2, 4, 4) for weights in found.weights.values())


# -- pictures -----------------------------------------------------------------------------------


def test_the_pictures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    model, x = pooled(np.float32)
    learned.filters(model).plot(tmp_path / "filters.png")
    learned.filters(nn.Conv2d(3, 10, 5)).plot(tmp_path / "colours.png", columns=5)
    learned.filters(nn.Conv2d(2, 3, 5)).plot(tmp_path / "channels.png")
    learned.feature_maps(model, x).plot(tmp_path / "maps.png", channels=4)
    learned.saliency(model, x).plot(tmp_path / "saliency.png")
    learned.class_activation(model, x).plot(tmp_path / "cam.png", count=2)
    assert size_of(tmp_path / "filters.png") == (420, 114)
    assert size_of(tmp_path / "colours.png") == (522, 216)
    assert size_of(tmp_path / "channels.png") == (216, 318)
    assert size_of(tmp_path / "saliency.png")[0] > size_of(tmp_path / "cam.png")[0]
    data = RNG.standard_normal((12, 2))
    regions = learned.decision_regions(lambda x: x[:, 0], data, np.arange(12) % 3, points=20)
    regions.plot(tmp_path / "regions.png", ["a", "b", "c"])
    assert size_of(tmp_path / "regions.png") == (648, 552)
    confused = learned.most_confused(x, np.array([0, 1, 0]), np.array([1, 1, 1]))
    confused.plot(tmp_path / "confused.png", ["no", "yes"], columns=3)
    attention = learned.attention(
        nn.TransformerEncoderLayer(8, 2, 16), np.zeros((4, 1, 8), np.float32)
    )
    attention.plot(tmp_path / "attention.png", labels=["a", "b", "c", "d"])
    for name in ("maps", "confused", "attention"):
        assert min(size_of(tmp_path / f"{name}.png")) > 100


def test_without_matplotlib_there_is_data_and_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.colors"):
        monkeypatch.setitem(sys.modules, name, None)
    surface = landscape.surface(lambda a, b: a * b, points=3)
    regions = learned.decision_regions(lambda x: x[:, 0], np.eye(2), points=3)
    filters = learned.filters(nn.Conv2d(1, 1, 2))
    for drawing in (surface, regions, filters):
        with pytest.raises(MissingExtraError, match="pip install"):
            drawing.plot(tmp_path / "x.png")
    assert not list(tmp_path.iterdir())
