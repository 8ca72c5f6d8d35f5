"""`torch.optim.swa_utils` as tutorials use it, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import glubina.torch as torch
from glubina.torch import nn
from glubina.torch.optim.swa_utils import (
    AveragedModel,
    get_ema_avg_fn,
    get_ema_multi_avg_fn,
    update_bn,
)


def net() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def steps(average: Any, model: Any, count: int) -> list[Any]:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, seen = torch.randn(8, 3), []
    for _ in range(count):
        optimizer.zero_grad()
        (model(x) ** 2).mean().backward()
        optimizer.step()
        average.update_parameters(model)
        seen.append(model[0].weight.detach().numpy().copy())
    return seen


def test_the_mean_of_all() -> None:
    model = net()
    average = AveragedModel(model)
    seen = steps(average, model, 4)
    np.testing.assert_allclose(average.module[0].weight.detach().numpy(), np.mean(seen, axis=0),
                               rtol=1e-5)  # fmt: skip
    assert int(average.n_averaged) == 4
    np.testing.assert_array_equal(average.module[1].running_mean.numpy(),
                                  model[1].running_mean.numpy())  # fmt: skip


@pytest.mark.parametrize("several", [False, True])
def test_an_exponential_average(several: bool) -> None:
    model = net()
    given: Any = {"multi_avg_fn": get_ema_multi_avg_fn(0.8)} if several else {
        "avg_fn": get_ema_avg_fn(0.8)
    }  # fmt: skip
    average = torch.optim.swa_utils.AveragedModel(model, use_buffers=True, **given)
    seen = steps(average, model, 3)
    wanted = 0.8 * (0.8 * seen[0] + 0.2 * seen[1]) + 0.2 * seen[2]
    np.testing.assert_allclose(average.module[0].weight.detach().numpy(), wanted, rtol=1e-5)
    average.eval()
    assert average(torch.randn(2, 3)).shape == (2, 2)
    assert set(average.state_dict()) >= {"n_averaged", "module.0.weight"}


def test_statistics_anew() -> None:
    model = net().eval()
    batches = [torch.randn(6, 3), torch.randn(6, 3)]
    update_bn([(batch, None) for batch in batches], model)
    means = [model[0](batch).mean(0).detach().numpy() for batch in batches]
    np.testing.assert_allclose(model[1].running_mean.numpy(), np.mean(means, axis=0), atol=1e-6)
    assert not model.training
    assert model[1].momentum == 0.1


def test_a_wrong_decay() -> None:
    with pytest.raises(ValueError, match=r"Invalid decay value 1.5 provided"):
        get_ema_avg_fn(1.5)
