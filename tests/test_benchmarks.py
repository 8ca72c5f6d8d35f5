"""The benchmarks measure what they say: networks, arithmetic, turns, ratios, failures, pages."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from rich.console import Console

from benchmarks import installed, layers, page, report
from benchmarks.__main__ import entries
from benchmarks.contestants import SYSTEMS, Contestant, Interpreters
from benchmarks.frameworks import glubina_steps
from benchmarks.report import Outcome
from benchmarks.turns import Plan, Result, measure
from benchmarks.workloads import KERAS_CNN, MLP, PLAYGROUND, RESNET20, WORKLOADS

QUICK = ("mlp_infer1", "playground", "lenet5")


def result(system: str, mode: str, *turns: float, loss: float = 0.1, error: str = "") -> Result:
    return Result(
        Contestant(system, "playground", mode),
        first={"import": 1.0, "build": 0.5, "step": 0.25},
        first_loss=0.5,
        last_loss=loss,
        turns=list(turns),
        memory=100_000_000,
        error=error,
    )


OUTCOME = Outcome(
    PLAYGROUND,
    [
        result("machine", "sgemm", 0.02),
        result("torch", "eager", 4e-3),
        result("jax", "jit", 2e-3),
        result("tinygrad", "jit", error="it broke"),
        result("glubina", "loop", 1e-3),
        result("glubina", "fit", 5e-4),
    ],
)


def test_flops_of_the_mlp_are_those_of_its_products() -> None:
    first, rest = 784 * 512, 512 * 256 + 256 * 10
    assert MLP.flops == 2 * 128 * (2 * first + 3 * rest)


def test_flops_of_the_cnn_are_those_of_its_contractions() -> None:
    first = 26 * 26 * 32 * 9
    second = 24 * 24 * 64 * 9 * 32
    dense = 12 * 12 * 64 * 128 + 128 * 10
    assert KERAS_CNN.flops == 2 * 128 * (2 * first + 3 * (second + dense))


def test_flops_of_a_forward_pass_and_of_branches() -> None:
    assert WORKLOADS["mlp_infer1"].flops == 2 * (784 * 512 + 512 * 256 + 256 * 10)
    wide = layers.Branches(((layers.Dense(3),), (), (layers.Dense(4), layers.Dense(2))))
    assert layers.after((wide,), (5,)) == (3 + 5 + 2,)
    first, inner = 2 * 5 * (3 + 4), 2 * 4 * 2
    assert layers.flops((wide,), (5,)) == (first + inner, 2 * first + 3 * inner)


def test_resnet20_is_the_network_of_its_name() -> None:
    drawn = layers.first_weights(RESNET20.network, RESNET20.shape)
    assert sum(w.size for w in drawn) == 272_474
    assert sum(w.ndim > 1 for w in drawn) == 20 + 2  # and two projections


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS)
def test_data_and_weights_are_the_same_every_time_and_fit_the_network(workload) -> None:
    x, y = workload.data()
    assert x.shape == (workload.batch * workload.batches, *workload.shape)
    assert x.dtype in (np.float32, np.int64)
    assert y.dtype == (np.int64 if workload.classes else np.float32)
    assert y.shape[0] == x.shape[0]
    again, _ = workload.data()
    assert np.array_equal(x, again)
    made = layers.after(workload.network, workload.shape)
    assert made == ((*y.shape[1:], workload.classes) if workload.classes else y.shape[1:])


@pytest.mark.parametrize("workload", QUICK)
@pytest.mark.parametrize("mode", SYSTEMS["glubina"].modes)
def test_glubina_takes_the_steps(workload, mode, monkeypatch) -> None:
    monkeypatch.setenv("BENCHMARK_THREADS", "1")
    steps = glubina_steps.build(WORKLOADS[workload], mode)
    assert steps.run(1) >= 1
    first = steps.loss()
    steps.run(40)
    assert math.isfinite(first)
    if WORKLOADS[workload].rule:
        assert steps.loss() < first


def test_modes_compute_the_same(monkeypatch) -> None:
    monkeypatch.setenv("BENCHMARK_THREADS", "2")
    losses = []
    for mode in ("loop", "compiled"):
        steps = glubina_steps.build(WORKLOADS["lenet5"], mode)
        steps.run(3)
        losses.append(steps.loss())
    assert losses[0] == losses[1]


def test_the_median_is_over_the_turns() -> None:
    assert result("torch", "eager", 3.0, 1.0, 100.0).seconds == 3.0


def test_ratios_are_to_the_best_mode_of_all_peers() -> None:
    assert OUTCOME.ratio == 4.0
    assert OUTCOME.sgemm == pytest.approx(2 * 1024**3 / 0.02)
    assert math.isnan(OUTCOME.bandwidth)
    console = Console(width=160)
    with console.capture() as capture:
        report.print_outcome(console, OUTCOME)
    rows = {line.split()[0]: line for line in capture.get().splitlines() if "±" in line}
    assert " 0.50 " in rows["torch"]
    assert " 1.00 " in rows["jax"]
    assert " 4.00 " in rows["glubina"]
    assert "tinygrad jit on playground: it broke" in capture.get()


def test_the_mean_caps_ratios() -> None:
    fast = Outcome(PLAYGROUND, [result("jax", "jit", 1.0), result("glubina", "fit", 0.01)])
    assert report.geometric_mean([OUTCOME, fast]) == pytest.approx(math.sqrt(4 * 5))
    assert math.isnan(report.geometric_mean([]))


def test_a_loss_that_is_no_number_or_rises_is_a_failure() -> None:
    wrong = Outcome(PLAYGROUND, [result("glubina", "fit", 1.0, loss=math.nan)])
    assert report.failures(wrong) == ["glubina fit on playground: the loss became nan"]
    risen = Outcome(PLAYGROUND, [result("glubina", "fit", 1.0, loss=0.75)])
    assert report.failures(risen) == ["glubina fit on playground: the loss rose from 0.5 to 0.75"]


def test_workers_take_turns_and_one_that_fails_is_reported() -> None:
    good = Contestant("machine", "playground", "sgemm")
    bad = Contestant("glubina", "no such workload", "loop")
    measured, failed = measure([good, bad], Plan(threads=1, rounds=3, seconds=0.02))
    assert len(measured.turns) == 3
    assert not measured.error
    assert 0 < measured.seconds < 10
    assert measured.memory > 10e6 or not sys.platform.startswith("linux")
    assert "no such workload" in failed.error
    assert not failed.turns


def test_a_worker_that_never_answers_is_given_up() -> None:
    quiet = Contestant("machine", "playground", "copy")
    (late,) = measure([quiet], Plan(threads=1, rounds=1, seconds=0.02, patience=0.001))
    assert late.error == "no answer within 0 s"


def test_entries_are_systems_with_all_modes_or_single_ones() -> None:
    assert entries("torch:tuned,jax", "loop") == [
        *(("torch", "tuned"), ("jax", "jit"), ("glubina", "loop")),
    ]
    assert entries("none", "none") == []
    with pytest.raises(ValueError, match="no system or mode 'caffe'; there are torch:eager"):
        entries("caffe", "none")


def test_interpreters_come_from_the_environment_and_the_command_line(monkeypatch) -> None:
    monkeypatch.setenv("GLUBINA_BENCH_PYTHON", "jax=/a/python,torch=/b/python")
    found = Interpreters.given(["torch=/c/python"])
    assert [found.of(s) for s in ("jax", "torch", "glubina")] == [
        *("/a/python", "/c/python", sys.executable),
    ]
    with pytest.raises(ValueError, match="expected SYSTEM=PATH"):
        Interpreters.given(["numpy=/c/python"])
    assert not Interpreters().lacks("glubina")


def test_a_page_gets_the_tables_between_its_marks(tmp_path) -> None:
    path = tmp_path / "page.md"
    path.write_text("before\n<!-- steps:begin -->\nold\n<!-- steps:end -->\nafter\n")
    page.write(path, "steps", page.steps([OUTCOME], "a machine", {"jax": ("1.0", 5)}))
    text = path.read_text()
    assert text.startswith("before\n<!-- steps:begin -->\na machine; jax 1.0.")
    assert text.endswith("<!-- steps:end -->\nafter\n")
    assert "old" not in text
    assert "| `playground` | 4 | **2** | — | 1 | **0.5** | 4.00 |" in text
    with pytest.raises(ValueError, match=r"needs the lines <!-- other:begin -->"):
        page.write(path, "other", "text")


def test_installed_size_counts_what_a_package_needs() -> None:
    assert {"rich", "pygments"} <= set(installed.needed(["rich>=13"]))
    version, size = installed.measure(["rich"])
    alone = sum(path.stat().st_size for path in installed.files(installed.needed(["rich"])["rich"]))
    assert version[0].isdigit()
    assert size > alone > 1e5
    assert installed.measure(["glubina"])[1] > installed.measure(["llvmlite"])[1]
