"""The benchmarks measure what they say: arithmetic, turns, ratios, failures."""

from __future__ import annotations

import numpy as np
import pytest
from rich.console import Console

from benchmarks import report
from benchmarks.turns import Contestant, Result, measure
from benchmarks.workloads import CNN, MLP, TINY, WORKLOADS


def test_flops_of_the_mlp_are_those_of_its_products() -> None:
    first, rest = 784 * 512, 512 * 256 + 256 * 10
    assert MLP.flops == 2 * 128 * (2 * first + 3 * rest)


def test_flops_of_the_cnn_are_those_of_its_contractions() -> None:
    first = 26 * 26 * 32 * 9
    second = 24 * 24 * 64 * 9 * 32
    dense = 12 * 12 * 64 * 128 + 128 * 10
    assert CNN.flops == 2 * 128 * (2 * first + 3 * (second + dense))


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS)
def test_data_are_the_same_every_time_and_fill_the_mini_batches(workload) -> None:
    x, y = workload.data()
    assert x.shape == (workload.batch * workload.batches, *workload.shape)
    assert x.dtype == np.float32
    assert y.dtype == (np.int64 if workload.classes else np.float32)
    again, _ = workload.data()
    assert np.array_equal(x, again)


def test_the_median_is_over_the_turns() -> None:
    result = Result(Contestant("torch", "tiny", "eager"), turns=[3.0, 1.0, 100.0])
    assert result.seconds == 3.0


def test_ratios_are_to_the_best_mode_of_torch() -> None:
    slow = Result(Contestant("torch", "tiny", "eager"), turns=[4e-3], last_loss=0.1)
    fast = Result(Contestant("torch", "tiny", "compile"), turns=[2e-3], last_loss=0.1)
    mine = Result(Contestant("glubina", "tiny", "fit"), turns=[5e-4], last_loss=0.1)
    console = Console(width=120)
    with console.capture() as capture:
        report.print_workload(console, TINY, [slow, fast, mine], 1e11)
    rows = {
        line.split()[0] + line.split()[1]: line
        for line in capture.get().splitlines()
        if "±" in line
    }
    assert " 0.50 " in rows["torcheager"]
    assert " 1.00 " in rows["torchcompile"]
    assert " 4.00 " in rows["glubinafit"]


def test_a_loss_that_is_no_number_is_a_failure() -> None:
    result = Result(Contestant("glubina", "tiny", "fit"), turns=[1.0], last_loss=float("nan"))
    assert report.failures([result]) == ["glubina fit on tiny: the loss became nan"]


def test_workers_take_turns_and_one_that_fails_is_reported() -> None:
    good, bad = Contestant("sgemm", "tiny", ""), Contestant("glubina", "no such workload", "loop")
    measured, failed = measure([good, bad], threads=1, rounds=3, seconds=0.02)
    assert len(measured.turns) == 3
    assert not measured.error
    assert 0 < measured.seconds < 10
    assert "no such workload" in failed.error
    assert not failed.turns
