"""Pieces of well-known tutorials that need more than layers: hooks, packing, checkpoints, ..."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

import glubina.torch as torch
import glubina.torch.nn as nn
import glubina.torch.nn.functional as F
from glubina.torch.autograd import gradcheck
from glubina.torch.autograd.functional import hessian, jacobian, jvp, vjp
from glubina.torch.distributions import Bernoulli, Categorical, Normal, kl_divergence
from glubina.torch.func import functional_call, jacrev, vmap
from glubina.torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


def test_hooks_replace_gradients_of_results() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    y.retain_grad()
    seen = []
    y.register_hook(lambda g: g * 10)
    y.register_hook(lambda g: seen.append(g.tolist()))
    (y**2).sum().backward()
    assert x.grad.tolist() == [80.0, 160.0]
    assert seen == [[40.0, 80.0]]
    assert y.grad.tolist() == [40.0, 80.0]


def test_hooks_of_modules_see_gradients() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    kept = {}
    net[0].register_forward_hook(lambda m, i, o: kept.update(out=o.detach()))
    net[0].register_full_backward_hook(lambda m, i, o: kept.update(grad=o[0]))
    net(torch.ones(5, 3)).sum().backward()
    wanted = net[2].weight.sum(0) * (1 - torch.tanh(kept["out"]) ** 2)
    assert torch.allclose(kept["grad"], wanted, atol=1e-6)


def test_gradients_of_chosen_inputs_only() -> None:
    a, b = (torch.tensor(v, requires_grad=True) for v in (2.0, 3.0))
    (a * b).backward(inputs=[a])
    assert a.grad.item() == 3.0
    assert b.grad is None


def test_gradcheck() -> None:
    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):  # type: ignore[no-untyped-def]
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, gradient):  # type: ignore[no-untyped-def]
            (x,) = ctx.saved_tensors
            return gradient * 2 * x

    x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: x**3, (x,))
    assert not gradcheck(Wrong.apply, (x,), raise_exception=False)
    with pytest.raises(RuntimeError, match="the Jacobian of output 0 by input 0 is wrong"):
        gradcheck(Wrong.apply, (x,))


def test_jacobians_and_their_products() -> None:
    x = torch.tensor([1.0, 2.0])
    assert jacobian(lambda x: x**2, x).tolist() == [[2.0, 0.0], [0.0, 4.0]]
    assert hessian(lambda x: (x**3).sum(), x).tolist() == [[6.0, 0.0], [0.0, 12.0]]
    by_x, by_y = jacobian(lambda x, y: x * y, (x, x + 1))
    assert by_x.tolist() == [[2.0, 0.0], [0.0, 3.0]]
    assert by_y[1].tolist() == [0.0, 2.0]
    assert vjp(lambda x: (x**2).sum(), x)[1].tolist() == [2.0, 4.0]
    assert jvp(lambda x: x**2, x, torch.ones(2))[1].tolist() == [2.0, 4.0]
    assert jacrev(lambda x: x.sum() * x)(x).tolist() == [[4.0, 1.0], [2.0, 5.0]]
    assert vmap(lambda a, b: (a * b).sum(), in_dims=(0, None))(torch.eye(2), x).tolist() == [1, 2]
    layer = nn.Linear(2, 1)
    given = {"weight": torch.ones(1, 2), "bias": torch.zeros(1)}
    assert functional_call(layer, given, (x,)).tolist() == [3.0]


@pytest.mark.parametrize("batch_first", [True, False])
def test_packed_sequences(batch_first: bool) -> None:
    torch.manual_seed(0)
    layer = nn.LSTM(3, 4, batch_first=batch_first, bidirectional=True)
    x = torch.randn(2, 5, 3)
    given = x if batch_first else x.transpose(0, 1)
    packed = pack_padded_sequence(given, torch.tensor([3, 5]), batch_first, enforce_sorted=False)
    assert packed.batch_sizes.tolist() == [2, 2, 2, 1, 1]
    assert packed.data.shape == (8, 3)
    assert torch.equal(packed.data[0], x[1, 0])
    y, (h, _) = layer(packed)
    y, lengths = pad_packed_sequence(y, batch_first)
    y = y if batch_first else y.transpose(0, 1)
    assert lengths.tolist() == [3, 5]
    assert y.shape == (2, 5, 8)
    alone = x[:1, :3] if batch_first else x[:1, :3].transpose(0, 1)
    wanted, (last, _) = layer(alone)
    wanted = wanted if batch_first else wanted.transpose(0, 1)
    assert torch.allclose(y[0, :3], wanted[0], atol=1e-6)
    assert not y[0, 3:].any()
    assert torch.allclose(h[:, 0], last[:, 0], atol=1e-6)


def test_checkpoints(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    net(torch.randn(4, 2)).sum().backward()
    optimizer.step()
    path = tmp_path / "checkpoint.pt"
    torch.save({"epoch": 3, "model": net.state_dict(), "optimizer": optimizer.state_dict(),
                "best": (0.5, None), "name": "сеть"}, path)  # fmt: skip
    found = torch.load(path, map_location="cpu", weights_only=True)
    assert found["epoch"] == 3
    assert found["best"] == (0.5, None)
    assert found["name"] == "сеть"
    other = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    assert str(other.load_state_dict(found["model"])) == "<All keys matched successfully>"
    again = torch.optim.Adam(other.parameters())
    again.load_state_dict(found["optimizer"])
    assert again.param_groups[0]["lr"] == 0.01
    assert torch.equal(other[0].weight, net[0].weight)
    stream = io.BytesIO()
    torch.save([torch.arange(4), torch.zeros(2)], stream)
    stream.seek(0)
    first, second = torch.load(stream)
    assert first.tolist() == [0, 1, 2, 3]
    assert second.dtype == torch.float32
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "weight", "bias"'):
        nn.Linear(2, 3).load_state_dict(found["model"])


def test_spatial_transformer() -> None:
    image = torch.arange(16.0).view(1, 1, 4, 4)
    same = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]], requires_grad=True)
    for corners in (True, False):
        grid = F.affine_grid(same, image.shape, corners)
        assert torch.allclose(F.grid_sample(image, grid, align_corners=corners), image, atol=1e-5)
    half = torch.tensor([[[1.0, 0.0, 0.25], [0.0, 1.0, 0.0]]], requires_grad=True)
    found = F.grid_sample(image, F.affine_grid(half, image.shape))
    assert found[0, 0, 0].tolist() == [0.5, 1.5, 2.5, 1.5]
    found.sum().backward()
    assert half.grad.shape == (1, 2, 3)


def test_bags_and_given_vectors() -> None:
    table = torch.arange(12.0).view(4, 3)
    bag = nn.EmbeddingBag.from_pretrained(table, mode="mean")
    found = bag(torch.tensor([0, 1, 3]), torch.tensor([0, 2]))
    assert found.tolist() == [[1.5, 2.5, 3.5], [9.0, 10.0, 11.0]]
    assert not bag.weight.requires_grad
    largest = nn.EmbeddingBag(4, 3, mode="max", include_last_offset=True, padding_idx=0)
    assert repr(largest) == "EmbeddingBag(4, 3, mode='max', padding_idx=0)"
    assert largest(torch.tensor([0, 0]), torch.tensor([0, 2])).tolist() == [[0.0, 0.0, 0.0]]
    vectors = nn.Embedding.from_pretrained(table, freeze=False)
    assert vectors(torch.tensor([2])).tolist() == [[6.0, 7.0, 8.0]]
    assert vectors.weight.requires_grad


def test_distributions() -> None:
    p = Normal(torch.zeros(2), torch.ones(2))
    q = Normal(torch.tensor([1.0, 0.0]), 2.0)
    np.testing.assert_allclose(p.log_prob(torch.zeros(2)).tolist(), [-0.9189385] * 2, rtol=1e-6)
    kl = np.log(2) + (1 + np.array([1.0, 0.0])) / 8 - 0.5
    np.testing.assert_allclose(kl_divergence(p, q).tolist(), kl, rtol=1e-5)
    scale = torch.tensor(1.0, requires_grad=True)
    Normal(0.0, scale).rsample((100,)).pow(2).mean().backward()
    assert scale.grad.item() > 0
    c = Categorical(torch.tensor([[1.0, 3.0], [1.0, 1.0]]))
    np.testing.assert_allclose(c.log_prob(torch.tensor([1, 0])).exp().tolist(), [0.75, 0.5])
    assert c.sample((7,)).shape == (7, 2)
    b = Bernoulli(logits=torch.tensor([0.0]))
    np.testing.assert_allclose(b.entropy().tolist(), [np.log(2)], rtol=1e-6)


def test_transformer_whole() -> None:
    torch.manual_seed(0)
    net = nn.Transformer(8, 2, 1, 1, 16, dropout=0.0)
    assert type(net.encoder.layers[0]) is nn.TransformerEncoderLayer
    mask = nn.Transformer.generate_square_subsequent_mask(4)
    src, tgt = torch.randn(5, 2, 8), torch.randn(4, 2, 8)
    out = net(src, tgt, tgt_mask=mask)
    later = tgt.clone()
    later[3] = 0
    changed = net(src, later, tgt_mask=mask)
    assert torch.allclose(out[:3], changed[:3], atol=1e-5)
    assert not torch.allclose(out[3], changed[3], atol=1e-3)


def test_names_of_numpy_out_and_lists_of_children() -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert x.mean(axis=0).tolist() == [2.0, 3.0]
    assert x.sum(axis=1, keepdims=True).shape == (2, 1)
    out = torch.empty(2, 2)
    torch.matmul(x, x, out=out)
    assert out.tolist() == [[7.0, 10.0], [15.0, 22.0]]
    assert x[range(2), [1, 0]].tolist() == [2.0, 3.0]
    labels = torch.tensor([0, 1])
    labels.unsqueeze_(1)
    assert labels.shape == (2, 1)

    class Chain(nn.Module):
        def __init__(self, *parts: nn.Module) -> None:
            super().__init__()
            for place, part in enumerate(parts):
                self._modules[str(place)] = part

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for part in self._modules.values():
                x = part(x)
            return x

    net = Chain(nn.Linear(2, 3), nn.ReLU())
    assert net(x).shape == (2, 3)
    assert len(list(net.parameters())) == 2
    with pytest.raises(RuntimeError, match=r"glubina\.torch runs on the CPU"):
        torch.set_default_device("cuda")


def test_what_courses_catch_is_a_runtime_error() -> None:
    for call in (
        lambda: torch.ones(2, 3) @ torch.ones(2, 3),
        lambda: torch.ones(2).view(3),
        lambda: nn.Linear(3, 2)(torch.ones(2, 4)),
        lambda: torch.cat([torch.ones(2, 3), torch.ones(3, 2)]),
    ):
        with pytest.raises(RuntimeError):
            call()
    assert nn.utils.clip_grad_norm_([nn.Parameter(torch.ones(1))], 1.0).item() == 0.0
