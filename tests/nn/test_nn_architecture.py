from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina import nn

NETS = [
    nn.Sequential(nn.Linear(4, 3, bias=False), nn.ReLU(), nn.Dropout(p=0.25)),
    nn.Sequential(
        nn.Conv2d(1, 4, (3, 2), stride=2, padding="valid"),
        nn.BatchNorm2d(4, momentum=0.2),
        nn.MaxPool2d(2),
        nn.AvgPool2d(2, count_include_pad=False),
        nn.Flatten(),
        nn.LogSoftmax(-1),
    ),
    nn.Sequential({"body": nn.Sequential(nn.Tanh()), "head": nn.Linear(2, 1)}),
    nn.ModuleList([nn.Sigmoid(), nn.LayerNorm((2, 3))]),
    nn.ModuleDict({"a": nn.Identity()}),
    nn.LazyLinear(3),
    nn.CrossEntropyLoss(label_smoothing=0.1),
]


@pytest.mark.parametrize("net", NETS, ids=lambda net: type(net).__name__)
def test_a_network_goes_through_json(net: nn.Module) -> None:
    text = json.dumps(nn.describe(net))
    again = nn.build(json.loads(text))
    assert repr(again) == repr(net)
    assert json.dumps(nn.describe(again)) == text
    assert list(again.state_dict()) == list(net.state_dict())


def test_a_changed_network_is_described_as_it_is() -> None:
    net = nn.Sequential(nn.Linear(2, 3))
    net.append(nn.Linear(3, 1))
    again = nn.build(nn.describe(net))
    again.load_state_dict(net.state_dict())
    x = gl.ones((2, 2))
    np.testing.assert_array_equal(again(x).numpy(), net(x).numpy())


@pytest.mark.parametrize(
    ("description", "text"),
    [
        ([], "the architecture: expected an object with 'class', got []"),
        (
            {"class": "os.system"},
            "the architecture: unknown class 'os.system'; there are ",
        ),
        (
            {"class": "Linear", "arguments": {"in_features": 1, "out": 3}},
            "Linear has no argument out; it takes in_features, out_features, bias",
        ),
        (
            {"class": "Linear", "arguments": {"in_features": 1}},
            "Linear cannot be made: missing a required argument: 'out_features'",
        ),
        (
            {"class": "Linear", "arguments": {"in_features": -1, "out_features": 1}},
            "Linear cannot be made: in_features must be a whole number of at least 1, got -1",
        ),
        (
            {"class": "Sequential", "arguments": {"modules": {"0": {"class": "Foo"}}}},
            "the architecture, Sequential.modules.0: unknown class 'Foo'",
        ),
        ({"class": "ReLU", "arguments": [1]}, "the arguments of ReLU are not an object"),
    ],
)
def test_a_wrong_description(description: Any, text: str) -> None:
    with pytest.raises(nn.ArchitectureError, match=re.escape(text)):
        nn.build(description)


def test_a_class_of_ones_own_cannot_be_described() -> None:
    class Mine(nn.Module):
        pass

    class Linear(nn.Linear):
        pass

    for module in (Mine(), nn.Sequential(Mine()), Linear(1, 1)):
        with pytest.raises(nn.ArchitectureError, match="is not a class of glubina"):
            nn.describe(module)


def test_summary() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
    net[0].requires_grad_(False)
    found = nn.summary(net, (8, 8, 1))
    assert [row.output for row in found.rows] == [(6, 6, 4), (6, 6, 4), (144,), (10,)]
    assert [row.parameters for row in found.rows] == [40, 0, 0, 1450]
    assert (found.parameters, found.trainable, found.bytes) == (1490, 1450, 5960)
    assert found.rows[0].flops == 144 * (2 * 9 + 1)
    assert found.rows[3].flops == 10 * (2 * 144 + 1)
    assert found.activations == 4 * (144 * 3 + 10)
    text = str(found)
    assert "1,490 parameters, 40 of them frozen; 6.0 kB with buffers" in text
    assert net.training
    with pytest.raises(ValueError, match=r"summary for examples of shape .*layer '0'"):
        nn.summary(net, (8, 8, 3))


def test_summary_without_a_shape(capsys: pytest.CaptureFixture[str]) -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    net.summary()
    assert "13 parameters; 52 B with buffers" in capsys.readouterr().out
    net.summary((2,))
    assert "per example: 22 FLOPs forward, 16 B of layer outputs" in capsys.readouterr().out
