from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina import nn


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        self.first = nn.Linear(width, 4)
        self.norm = nn.BatchNorm1d(4)
        self.scale = nn.Parameter(np.ones(4, np.float32))
        self.register_buffer("offset", gl.tensor(np.zeros(4, np.float32)))

    def forward(self, x: Any) -> Any:
        return self.norm(self.first(x)) * self.scale + self.offset


def test_attributes_are_found_with_dotted_names() -> None:
    net = nn.Sequential(Block(3), nn.Linear(4, 2, bias=False))
    names = [
        "0.scale",
        "0.first.weight",
        "0.first.bias",
        "0.norm.weight",
        "0.norm.bias",
        "1.weight",
    ]
    assert [name for name, _ in net.named_parameters()] == names
    buffers = [
        "0.offset",
        "0.norm.running_mean",
        "0.norm.running_var",
        "0.norm.num_batches_tracked",
    ]
    assert [name for name, _ in net.named_buffers()] == buffers
    assert list(net.state_dict()) == names + buffers
    assert [name for name, _ in net.named_modules()] == ["", "0", "0.first", "0.norm", "1"]
    assert net.get_submodule("0.norm") is net[0].norm
    with pytest.raises(AttributeError, match=r"no module '0.x'; there are '0', '0.first'"):
        net.get_submodule("0.x")


def test_a_shared_parameter_is_found_once() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    net[1].weight = net[0].weight
    assert len(list(net.parameters())) == 3
    net = nn.Sequential(net[0], net[0])
    assert len(list(net.parameters())) == 2


def test_train_and_eval_reach_every_module() -> None:
    net = nn.Sequential(Block(3), nn.Dropout(0.5))
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    net.train()
    assert all(m.training for m in net.modules())


def test_freezing() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    net[0].requires_grad_(False)
    net(gl.ones((5, 3))).sum().backward()
    assert net[0].weight.grad is None
    assert net[1].weight.grad.shape == (2, 4)
    net.zero_grad()
    assert net[1].weight.grad is None


def test_apply_goes_children_first() -> None:
    seen: list[str] = []
    nn.Sequential(nn.Linear(1, 1), nn.Sequential(nn.ReLU())).apply(
        lambda m: seen.append(type(m).__name__)
    )
    assert seen == ["Linear", "ReLU", "Sequential", "Sequential"]


def test_to_converts_parameters_and_buffers() -> None:
    net = Block(3).double()
    assert {p.dtype for p in net.parameters()} == {np.dtype(np.float64)}
    assert net.norm.num_batches_tracked.dtype == np.int64
    assert net(gl.ones((2, 3), dtype=np.float64)).dtype == np.float64
    net.float()(gl.ones((2, 3))).sum().backward()
    assert net.first.weight.grad.dtype == np.float32
    with pytest.raises(TypeError, match="float32 or float64, got int32"):
        net.to(np.int32)


def test_repr_is_a_tree() -> None:
    net = nn.Sequential(
        OrderedDict(body=nn.Sequential(nn.Conv2d(1, 8, 3, padding=1)), end=nn.ReLU())
    )
    assert repr(net) == (
        "Sequential(\n"
        "  (body): Sequential(\n"
        "    (0): Conv2d(1, 8, kernel_size=(3, 3), padding=(1, 1))\n"
        "  )\n"
        "  (end): ReLU()\n"
        ")"
    )


def test_hooks_see_every_forward_until_removed() -> None:
    seen: list[Any] = []
    net = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    remove = net[0].register_forward_hook(lambda m, args, result: seen.append(result.shape))
    net(gl.ones((5, 3)))
    remove()
    net(gl.ones((5, 3)))
    assert seen == [(5, 2)]


# -- state ---------------------------------------------------------------------------------------


def test_state_goes_round() -> None:
    first, second = Block(3), Block(3)
    first(gl.tensor(np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)))
    saved = {name: value.numpy() for name, value in first.state_dict().items()}
    differences = second.load_state_dict(saved)
    assert differences.missing_keys == differences.unexpected_keys == []
    for name, value in second.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), saved[name])
    assert int(second.norm.num_batches_tracked.item()) == 1


def test_loading_copies() -> None:
    net = nn.Linear(2, 2)
    weight = np.ones((2, 2), np.float32)
    net.load_state_dict({"weight": weight, "bias": np.zeros(2, np.float32)})
    weight[:] = 7
    assert float(net.weight.sum().item()) == 4


def test_every_difference_is_listed_and_nothing_is_changed() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    before = net[0].bias.numpy().copy()
    state = {
        "0.weight": np.zeros((4, 5), np.float32),
        "0.bias": np.zeros(4, np.float32),
        "1.weight": np.zeros((2, 4), np.int64),
        "2.bias": np.zeros(2, np.float32),
    }
    with pytest.raises(nn.StateError) as caught:
        net.load_state_dict(state)
    assert str(caught.value) == (
        "the state does not fit Sequential; nothing was loaded:\n"
        "  shape: 0.weight is (4, 3) in the module, (4, 5) in the state\n"
        "  dtype: 1.weight is float32 in the module, int64 in the state\n"
        "  missing: 1.bias float32 (2,)\n"
        "  unexpected: 2.bias float32 (2,)"
    )
    np.testing.assert_array_equal(net[0].bias.numpy(), before)


def test_without_strict_names_may_differ() -> None:
    net = nn.Linear(2, 1)
    found = net.load_state_dict({"bias": np.ones(1, np.float32), "x": np.ones(1)}, strict=False)
    assert found.missing_keys == ["weight"]
    assert found.unexpected_keys == ["x"]
    assert net.bias.item() == 1


def test_loading_keeps_what_optimizers_hold() -> None:
    net = nn.Linear(2, 1)
    weight = net.weight
    net.load_state_dict({"weight": np.full((1, 2), 3.0), "bias": np.zeros(1)})
    assert net.weight is weight
    assert weight.dtype == np.float32
    net(gl.ones((1, 2))).sum().backward()
    np.testing.assert_array_equal(weight.grad.numpy(), [[1, 1]])


def test_a_deep_copy_is_independent() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    other = copy.deepcopy(net)
    nn.init.zeros_(net[0].weight)
    assert np.abs(other[0].weight.numpy()).sum() > 0
    assert other[0].weight.requires_grad
    assert nn.describe(other) == nn.describe(net)


# -- containers ----------------------------------------------------------------------------------


def test_sequential_is_a_list() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    net.append(nn.Linear(4, 2))
    assert len(net) == 3
    assert net[-1].out_features == 2
    assert [type(m) for m in net[1:]] == [nn.ReLU, nn.Linear]
    net[1] = nn.Tanh()
    assert [name for name, _ in net.named_children()] == ["0", "1", "2"]
    assert isinstance(net[1], nn.Tanh)
    net.insert(0, nn.Flatten())
    del net[2]
    assert [type(m) for m in net] == [nn.Flatten, nn.Linear, nn.Linear]
    assert net(gl.ones((5, 3, 1))).shape == (5, 2)
    with pytest.raises(IndexError, match="3 modules, no index 3"):
        net[3]


def test_containers_hold_modules_only() -> None:
    with pytest.raises(TypeError, match=r"holds modules, got type .*did you mean ReLU\(\)"):
        nn.Sequential(nn.ReLU)
    with pytest.raises(TypeError, match="holds modules, got int"):
        nn.ModuleList([3])
    net = nn.Sequential(nn.ReLU())
    with pytest.raises(TypeError, match="holds modules, got int"):
        net.insert(0, 3)
    assert len(net) == 1
    with pytest.raises(KeyError, match="cannot hold a module under the name 'forward'"):
        nn.Sequential({"forward": nn.ReLU()})


def test_lists_and_dicts_register() -> None:
    listed = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
    assert len(list(listed.parameters())) == 6
    named = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.ReLU()})
    assert [name for name, _ in named.named_parameters()] == ["a.weight", "a.bias"]
    assert "a" in named
    assert named.keys() == ["a", "b"]
    with pytest.raises(KeyError, match="has no 'c'; it has a, b"):
        named["c"]
    with pytest.raises(KeyError, match="cannot hold a module under the name 'train'"):
        named["train"] = nn.ReLU()
