"""Every network of the list: its count of parameters, a few steps of training, files, summary."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

import glubina as gl
from glubina import models, nn, optim
from glubina.runtime import observers

ROOT = Path(__file__).resolve().parent.parent.parent


class Small(NamedTuple):
    """A network small enough to be trained in a test, on random examples."""

    arguments: dict[str, Any]
    input_shape: tuple[int, ...]
    target_shape: tuple[int, ...] = ()
    loss: str = "cross_entropy"
    classes: int = 3
    rate: float = 0.03


SMALL = {
    "linear-regression": Small({"in_features": 3}, (3,), (1,), "mse", rate=0.1),
    "logistic-regression": Small({"in_features": 4}, (4,), (1,), "bce_with_logits", 2, 0.1),
    "softmax-regression": Small({"in_features": 12, "num_classes": 3}, (4, 3), rate=0.05),
    "mlp": Small({"in_features": 12, "hidden": (9, 7), "num_classes": 3}, (4, 3)),
    "lenet5": Small({"num_classes": 3}, (28, 28, 1)),
    "alexnet": Small({"num_classes": 3, "width": 0.05, "dropout": 0.0}, (63, 63, 3), rate=0.003),
    "alexnet-two-towers": Small(
        {"num_classes": 3, "width": 0.05, "dropout": 0.0}, (63, 63, 3), rate=0.003
    ),
    "network-in-network": Small({"num_classes": 3, "width": 12, "dropout": 0.0}, (8, 8, 3)),
    "googlenet": Small({"num_classes": 3, "width": 0.02, "dropout": 0.0}, (32, 32, 3)),
    "resnet20": Small({"depth": 8, "num_classes": 3, "width": 4}, (8, 8, 3)),
    "resnet20-v2": Small({"depth": 8, "num_classes": 3, "width": 4}, (8, 8, 3)),
    "resnet18": Small({"blocks": (1, 1), "num_classes": 3, "width": 4}, (16, 16, 3)),
    "resnet50-v2": Small({"blocks": (1, 1), "num_classes": 3, "width": 4}, (16, 16, 3)),
    "resnet9": Small({"num_classes": 3, "widths": (4, 6, 8), "pairs": (1, 0)}, (8, 8, 3)),
    "resnext50-32x4d": Small(
        {"blocks": (1, 1), "num_classes": 3, "width": 4, "groups": 2, "width_per_group": 32},
        (16, 16, 3),
    ),
    "vgg16": Small(
        {"depth": 11, "num_classes": 3, "width": 3, "hidden": 12, "dropout": 0.0}, (32, 32, 3),
        rate=0.01,
    ),
    "squeezenet": Small({"num_classes": 3, "width": 0.1, "dropout": 0.0}, (40, 40, 3), rate=0.01),
    "mobilenet-v2": Small(
        {"num_classes": 3, "width": 0.1, "stages": ((1, 8, 1, 1), (3, 16, 2, 2)), "dropout": 0.0},
        (16, 16, 3),
    ),
    "mobilenet-v3-large": Small(
        {
            "num_classes": 3, "width": 0.5, "dropout": 0.0,
            "blocks": ((3, 16, 16, False, "relu", 1), (5, 48, 16, True, "hardswish", 2)),
        },
        (16, 16, 3),
    ),
    "efficientnet-b0": Small(
        {
            "num_classes": 3, "width": 0.25, "dropout": 0.0,
            "stages": ((1, 3, 1, 16, 1), (4, 5, 2, 24, 2)),
        },
        (16, 16, 3),
    ),
    "shufflenet-v2": Small(
        {"width": (4, 8, 12, 16, 20), "num_classes": 3, "blocks": (1, 2, 1)}, (32, 32, 3)
    ),
    "vit-small": Small(
        {"image_size": 8, "num_classes": 3, "width": 12, "layers": 1, "heads": 2}, (8, 8, 3)
    ),
    "resnet-in-resnet": Small({"blocks": (1, 2), "num_classes": 3, "width": 4}, (8, 8, 3)),
    "fractalnet20": Small(
        {"num_classes": 3, "columns": 2, "channels": (4, 6), "dropout": 0.0}, (8, 8, 3)
    ),
    "multilevel-resnet56": Small({"depth": 8, "num_classes": 3, "width": 4}, (8, 8, 3)),
    "densenet100-12": Small({"blocks": (2, 2), "growth": 4, "num_classes": 3}, (8, 8, 3)),
    "densenet121": Small({"blocks": (2, 2), "growth": 4, "num_classes": 3}, (16, 16, 3)),
    "polynet-small": Small({"num_classes": 3, "width": 4, "blocks": 1}, (8, 8, 3)),
    "mobilenet": Small({"num_classes": 3, "width": 0.06, "stride": 1}, (32, 32, 3)),
    "encoder-decoder": Small({"num_classes": 3, "width": 4, "depth": 2}, (8, 12, 3), (8, 12)),
    "unet": Small({"num_classes": 3, "width": 4, "depth": 2}, (8, 12, 1), (8, 12)),
    "wavenet": Small(
        {"num_symbols": 5, "channels": 4, "skip_channels": 6, "layers": 3, "stacks": 1},
        (20,), (20,), classes=5,
    ),
    "char-lstm": Small(
        {"num_symbols": 5, "width": 4, "hidden": 8}, (9,), (9,), classes=5, rate=0.1
    ),
    "gpt-small": Small(
        {"num_symbols": 5, "context": 20, "width": 12, "layers": 1, "heads": 2, "dropout": 0.0},
        (20,), (20,), classes=5,
    ),
    "keypoints": Small(
        {"num_keypoints": 3, "image_size": 27, "width": 3, "hidden": 9, "dropout": False},
        (27, 27, 1), (3, 2), "mse",
    ),
    "switch-small": Small(
        {"num_symbols": 5, "context": 20, "width": 12, "layers": 1, "experts": 3, "hidden": 8},
        (20,), (20,), classes=5,
    ),
}  # fmt: skip


def examples(name: str, count: int = 8) -> tuple[NDArray[Any], NDArray[Any]]:
    """Random inputs and targets of a small network."""
    small, random = SMALL[name], np.random.default_rng(0)
    x: NDArray[Any] = random.standard_normal((count, *small.input_shape)).astype(np.float32)
    if models.find(name).input_dtype == np.int64:
        x = random.integers(0, small.classes, (count, *small.input_shape))
    y: NDArray[Any] = random.integers(0, small.classes, (count, *small.target_shape))
    return x, y if small.loss == "cross_entropy" else y.astype(np.float32)


class NoDraws:
    """Zeros in place of random numbers: networks are counted without being drawn."""

    def uniform(self, low: Any, high: Any, size: Any) -> NDArray[Any]:
        return np.broadcast_to(np.float32(0), size)

    normal = uniform


@pytest.fixture(scope="module")
def parameters() -> dict[str, int]:
    """The number of parameters of every network as the paper has it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.init, "draws", NoDraws)
        patch.setattr(nn.init, "fill", lambda tensor, values: tensor)
        return {name: models.count(models.make(name)) for name in models.names()}


def test_every_family_has_a_small_network() -> None:
    kinds = {models.find(name).kind for name in models.names()}
    assert {models.find(name).kind for name in SMALL} == kinds


@pytest.mark.filterwarnings("ignore:.*different programs")  # each network has its own
@pytest.mark.parametrize("name", SMALL)
def test_it_learns(name: str) -> None:
    gl.manual_seed(0)
    small, (x, y) = SMALL[name], examples(name)
    net = models.make(name, **small.arguments)
    net.compile(lambda p: optim.Adam(p, lr=small.rate), small.loss)
    history = net.fit(x, y, batch_size=len(x), epochs=10, verbose=0)
    losses = history["loss"]
    assert np.isfinite(losses).all()
    assert np.mean(losses[-3:]) < 0.95 * losses[0]


@pytest.mark.parametrize("name", SMALL)
def test_it_goes_through_files_and_is_summarised(name: str, tmp_path: Path) -> None:
    gl.manual_seed(0)
    small, (x, _) = SMALL[name], examples(name)
    net = models.make(name, **small.arguments)
    nn.save_model(net, tmp_path)
    again = nn.load_model(tmp_path).model
    assert type(again) is type(net)
    assert json.dumps(nn.describe(again)) == json.dumps(nn.describe(net))
    values = again.state_dict()
    for key, value in net.state_dict().items():
        np.testing.assert_array_equal(values[key].numpy(), value.numpy(), err_msg=key)
    found = nn.summary(net, small.input_shape)
    assert found.parameters == models.count(net)
    assert found.flops is not None
    assert again(gl.tensor(x[:2])).shape[0] == 2


# The counts of torchvision, Keras and well-known implementations, and what the papers' text says.
KNOWN = {
    "lenet5": 61_706,
    "alexnet": 61_100_840,
    "alexnet-two-towers": 60_965_224,  # Caffe's
    "network-in-network": 966_986,
    "googlenet": 6_998_552,  # Caffe's, without the auxiliary classifiers
    "resnet9": 6_573_120,  # of davidcpage/cifar10-fast
    "resnet20": 269_722,
    "resnet32": 464_154,
    "resnet44": 658_586,
    "resnet56": 853_018,
    "resnet110": 1_727_962,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "resnet-in-resnet": 9_492_980,
    "fractalnet20": 33_724_618,
    "densenet100-12": 769_162,
    "densenet121": 7_978_856,
    "vgg11": 132_863_336,
    "vgg13": 133_047_848,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "squeezenet": 1_248_424,
    "squeezenet-1.1": 1_235_496,
    "resnext50-32x4d": 25_028_904,
    "resnext101-32x8d": 88_791_336,
    "wide-resnet50-2": 68_883_240,
    "mobilenet-v2": 3_504_872,
    "mobilenet-v3-large": 5_483_032,
    "mobilenet-v3-small": 2_542_856,
    "efficientnet-b0": 5_288_548,
    "shufflenet-v2": 2_278_604,
    "vit-b-16": 86_567_656,
    "mobilenet": 4_231_976,
    "mobilenet-0.75": 2_585_560,
    "mobilenet-0.5": 1_331_592,
    "mobilenet-0.25": 470_072,
    "keypoints": 7_488_962,
}
IN_PAPERS = {  # in millions, as printed
    "lenet5": 0.06,
    "alexnet-two-towers": 60,
    "googlenet": 6.8,
    "resnet20": 0.27,
    "resnet32": 0.46,
    "resnet44": 0.66,
    "resnet56": 0.85,
    "resnet110": 1.7,
    "resnet110-v2": 1.7,
    "resnet164-v2": 1.7,
    "multilevel-resnet110": 1.7,
    "densenet100-12": 0.8,
    "mobilenet": 4.2,
    "mobilenet-0.75": 2.6,
    "mobilenet-0.5": 1.3,
    "mobilenet-0.25": 0.5,
    "keypoints": 7.488962,
}


def test_parameters_are_those_published(parameters: dict[str, int]) -> None:
    assert {name: parameters[name] for name in KNOWN} == KNOWN
    for name, millions in IN_PAPERS.items():
        assert parameters[name] / 1e6 == pytest.approx(millions, rel=0.065), name


def test_forms_of_the_same_network() -> None:
    torchvision = models.make("googlenet", batch_norm=True, five_size=3)
    assert models.count(torchvision) == 6_624_904
    helped = models.make("googlenet", batch_norm=True, five_size=3, auxiliary=True)
    assert models.count(helped) == 13_004_888
    projected = models.make("resnet20", shortcut="projection")
    assert models.count(projected) == 272_474
    # GPT-2 by the formula, checked on a small one: tied weights, biases everywhere.
    v, t, d, n = 11, 13, 8, 3
    small = models.GPT(v, t, d, n, heads=2)
    assert models.count(small) == gpt_parameters(v, t, d, n)
    assert gpt_parameters(50257, 1024, 768, 12) == 124_439_808


def test_the_auxiliary_classifiers_of_googlenet() -> None:
    gl.manual_seed(0)
    net = models.GoogLeNet(3, dropout=0.0, batch_norm=True, width=0.03, auxiliary=True)
    found = net(gl.zeros((8, 32, 32, 3)))
    assert [logits.shape for logits in found] == [(8, 3)] * 3
    # Nothing is asked for, so nothing is computed: the graph alone says who has a gradient.
    (found[0] + 0.3 * (found[1] + found[2])).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad()
    net(gl.zeros((8, 32, 32, 3)))[1].sum().backward()  # the second looks at the paper's block 4d
    assert net.blocks[6].one[0].conv.weight.grad is not None
    assert net.blocks[7].one[0].conv.weight.grad is None
    assert net.eval()(gl.zeros((8, 32, 32, 3))).shape == (8, 3)


def gpt_parameters(symbols: int, context: int, width: int, layers: int) -> int:
    each = 12 * width**2 + 13 * width
    return layers * each + (symbols + context) * width + 2 * width


def test_the_page_shows_the_table(parameters: dict[str, int]) -> None:
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    assert models.table(parameters) in page, (
        'docs/models.md is old: put in what python -c "import glubina as gl; '
        'print(gl.models.table())" prints'
    )


@pytest.mark.slow
@pytest.mark.parametrize("towers", [1, 2])
def test_a_step_of_alexnet_runs_in_the_memory_that_its_plan_says(towers: int) -> None:
    def resident() -> int:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    if not Path("/proc/self/statm").exists():
        pytest.skip("how much memory a process has is read from /proc")
    gl.manual_seed(0)
    net = models.AlexNet(towers=towers)
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    x = gl.tensor(np.random.default_rng(0).standard_normal((16, 224, 224, 3), np.float32))
    y = gl.tensor(np.arange(16))
    losses: list[float] = []
    events: list[observers.RunEvent] = []
    for _ in range(3):
        events.clear()
        before = resident()
        with observers.runs.watching(events.append):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net.eval()(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        (plan,) = [event.plan for event in events]
        fresh = sum(s.nbytes for s, d in zip(plan.outputs, plan.donated, strict=True) if d < 0)
        assert resident() - before <= plan.arena_bytes + fresh + 50e6
        assert plan.arena_bytes < 200e6
    assert losses[-1] < losses[0]


def test_a_file_is_enough_in_a_new_process(tmp_path: Path) -> None:
    nn.save_model(models.make("resnet20", depth=8, width=4), tmp_path)
    code = f"from glubina import nn; print(type(nn.load_model({str(tmp_path)!r}).model).__name__)"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert found.stdout.strip() == "CifarResNet"


def test_names_and_errors() -> None:
    assert models.names()[:2] == ["linear-regression", "logistic-regression"]
    assert isinstance(models.make("ResNet20", num_classes=7), models.CifarResNet)
    with pytest.raises(models.UnknownModelError, match=r"unknown network 'resnet19'\. Did you mea"):
        models.make("resnet19")
    with pytest.raises(TypeError, match=r"'lenet5' \(LeNet5\) has no argument classes; it takes n"):
        models.make("lenet5", classes=3)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: models.CifarResNet(depth=21), r"depth is 6n \+ 2 \(8, 14, 20, ...\), got 21"),
        (lambda: models.CifarResNet(bottleneck=True, depth=20, shortcut="x"), "'projection' or"),
        (lambda: models.ResNet(version=3), "version is 1 or 2"),
        (lambda: models.ResNet(bottleneck=False, groups=2), "are of bottlenecks of version 1"),
        (lambda: models.VGG(depth=12), "depth is one of 11, 13, 16, 19, got 12"),
        (lambda: models.SqueezeNet("2"), r"version is '1\.0' or '1\.1', got '2'"),
        (lambda: models.MobileNetV2(width=0), "width must be positive, got 0"),
        (lambda: models.MobileNetV3("huge"), "form is 'large' or 'small', got 'huge'"),
        (lambda: models.EfficientNet(depth=0), "depth must be above 0 and at most 10000, got 0"),
        (lambda: models.ShuffleNetV2(3.0), "width is 0.5, 1.0, 1.5, 2.0, got 3.0"),
        (lambda: models.VisionTransformer(30), "image_size 30 is no multiple of patch_size 16"),
        (lambda: models.AlexNet(towers=3), "towers is 1 or 2, got 3"),
        (lambda: models.MLP(3, activation="x"), "activation is one of 'relu'"),
        (lambda: models.LeNet5(pooling="sum"), "pooling is 'average' or 'max', got 'sum'"),
        (lambda: models.DenseNet(stem="mnist"), "stem is 'cifar' or 'imagenet', got 'mnist'"),
        (lambda: models.DenseNet(compression=0), "compression must be above 0 and at most 1"),
        (lambda: models.MobileNet(width=0), "width must be positive, got 0"),
        (lambda: models.MultilevelResNet(levels=4), "levels is 1, 2 or 3, got 4"),
        (lambda: models.KeypointRegressor(image_size=9), "image_size must be at least 27, got 9"),
        (lambda: models.UNet(depth=2)(gl.zeros((1, 8, 10, 1))), "multiples of 4, got 8 × 10"),
        (
            lambda: models.GPT(context=4, width=8, heads=2)(gl.zeros((1, 5), dtype=gl.int64)),
            r"T from 1 to 4, the context; got \(1, 5\)",
        ),
    ],
)
def test_wrong_arguments(make: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make()


@pytest.mark.parametrize("name", ["alexnet", "googlenet"])
def test_local_response_norm_where_the_paper_has_it(name: str) -> None:
    without = models.make(name, width=0.05, num_classes=3)
    net = models.make(name, width=0.05, num_classes=3, response_norm=True)
    norms = [m for m in net.modules() if isinstance(m, nn.LocalResponseNorm)]
    assert [(m.size, m.alpha, m.beta, m.k) for m in norms] == [(5, 5e-4, 0.75, 2.0)] * 2
    assert [p.shape for p in net.parameters()] == [p.shape for p in without.parameters()]
    assert net.eval()(gl.ones((1, 96, 96, 3))).shape == (1, 3)
