"""Bad arguments of rules, schedules, losses, penalties: each error names argument and value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina import nn, optim
from glubina.nn import functional, penalty
from glubina.tensor import arguments

RULES: dict[Any, list[str]] = {
    optim.SGD: ["lr", "momentum", "weight_decay"],
    optim.Adam: ["lr", "eps", "weight_decay"],
    optim.AdamW: ["lr", "eps", "weight_decay"],
    optim.Adamax: ["lr", "eps", "weight_decay"],
    optim.NAdam: ["lr", "eps", "weight_decay", "momentum_decay"],
    optim.RAdam: ["lr", "eps", "weight_decay"],
    optim.Adagrad: ["lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps"],
    optim.Adadelta: ["lr", "eps", "weight_decay"],
    optim.RMSprop: ["lr", "eps", "weight_decay", "momentum"],
    optim.Lion: ["lr", "weight_decay"],
    optim.Muon: ["lr", "weight_decay", "momentum", "eps"],
    optim.LBFGS: ["lr", "tolerance_grad", "tolerance_change"],
}


def _weights() -> list[Any]:
    return [gl.zeros((2, 2), requires_grad=True)]


@pytest.mark.parametrize(("make", "name"), [(k, n) for k, names in RULES.items() for n in names])
def test_numbers_of_rules(make: Any, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must not be negative, got -0.5"):
        make(_weights(), **{name: -0.5})
    with pytest.raises(ValueError, match=f"{name} must be a finite number, got nan"):
        make(_weights(), **{name: float("nan")})
    for wrong in ("0.1", None, [0.1]):
        with pytest.raises(TypeError, match=f"{name} must be a number, got"):
            make(_weights(), **{name: wrong})
    make(_weights(), **{name: np.float32(0.5)})


def rule(**settings: Any) -> Any:
    return optim.SGD(_weights(), **{"lr": 0.1, **settings})


SCHEDULES = optim.lr_scheduler
LOGITS, LABELS = gl.zeros((2, 3)), gl.tensor(np.array([0, 1]))
CASES: list[tuple[Any, str]] = [
    (lambda: optim.Adam(_weights(), betas=(0.9, 1.0)), r"betas are two numbers .* \(0.9, 1.0\)"),
    (lambda: optim.Adam(_weights(), betas=0.9), r"betas are two numbers .* got \(0.9,\)"),
    (lambda: optim.Adam(_weights(), betas=("a", 0.9)), "betas must be a number, got 'a'"),
    (lambda: optim.SGD(_weights(), nesterov=True), "nesterov needs .* momentum=0.0"),
    (lambda: optim.SGD(_weights(), dampening="x"), "dampening must be a number, got 'x'"),
    (lambda: optim.SGD("weights"), "SGD: params must be tensors .* got str"),
    (lambda: optim.SGD(3), "SGD: params must be tensors .* got int"),
    (lambda: optim.SGD({"params": _weights()}), "SGD: params must be tensors .* got dict"),
    (lambda: optim.SGD([{"lr": 1.0}]), r"a dict with 'params' .* got \['lr'\]"),
    (lambda: optim.SGD([{"params": _weights(), "rate": 1}]), "unknown setting rate"),
    (lambda: optim.SGD([gl.zeros(2, dtype="int64")]), "takes floating tensors, got int64"),
    (lambda: optim.Adadelta(_weights(), rho=2), "rho must be between 0 and 1, got 2"),
    (lambda: optim.RMSprop(_weights(), alpha=-1), "alpha must be between 0 and 1, got -1"),
    (lambda: optim.Muon(_weights(), ns_steps=0), "ns_steps must be from 1 to 99, got 0"),
    (lambda: optim.Muon(_weights(), adjust_lr_fn="x"), "adjust_lr_fn must be None, 'original' or"),
    (lambda: optim.Muon(_weights(), ns_coefficients=(1, 2)), "ns_coefficients are three numbers"),
    (lambda: optim.LBFGS(_weights(), max_iter=0), "max_iter must be a whole number .* got 0"),
    (lambda: optim.LBFGS(_weights(), history_size=1.5), "history_size must be a whole .* got 1.5"),
    (lambda: optim.clip_grad_norm_(_weights(), -1), "max_norm must not be negative, got -1"),
    (lambda: optim.clip_grad_value_(_weights(), "1"), "clip_value must be a number, got '1'"),
    (lambda: SCHEDULES.StepLR(_weights(), 1), "StepLR: optimizer|LRScheduler|must be an optimizer"),
    (lambda: SCHEDULES.StepLR(rule(), 1.5), "step_size must be a whole number .* got 1.5"),
    (lambda: SCHEDULES.StepLR(rule(), 2, "a"), "gamma must be a number, got 'a'"),
    (lambda: SCHEDULES.StepLR(rule(), 2, last_epoch=4), "param_groups.0. needs its 'initial_lr'"),
    (lambda: SCHEDULES.MultiStepLR(rule(), [1, -2]), "milestones must be a whole .* got -2"),
    (lambda: SCHEDULES.ExponentialLR(rule(), None), "gamma must be a number, got None"),
    (lambda: SCHEDULES.LambdaLR(rule(), 0.5), "'float' object is not iterable|function of the ep"),
    (lambda: SCHEDULES.LambdaLR(rule(), [0.5]), "lr_lambda must be a function .* got 0.5"),
    (lambda: SCHEDULES.ConstantLR(rule(), 2.0), "factor must be between 0 and 1, got 2.0"),
    (lambda: SCHEDULES.LinearLR(rule(), end_factor=-1), "end_factor must be between .* got -1"),
    (lambda: SCHEDULES.PolynomialLR(rule(), 3, "x"), "power must be a number, got 'x'"),
    (lambda: SCHEDULES.InversePowerLR(rule(), -1), "power must not be negative, got -1"),
    (lambda: SCHEDULES.CosineAnnealingLR(rule(), 0.5), "T_max must be a whole number .* got 0.5"),
    (lambda: SCHEDULES.CosineAnnealingLR(rule(), 5, -1), "eta_min must not be negative, got -1"),
    (lambda: SCHEDULES.CosineAnnealingWarmRestarts(rule(), 0), "T_0 must be a whole .* got 0"),
    (lambda: SCHEDULES.CyclicLR(rule(), -1, 1), "base_lr must not be negative, got -1"),
    (lambda: SCHEDULES.CyclicLR(rule(), 0, [1, 2]), "max_lr must be a number or 1 of them"),
    (lambda: SCHEDULES.CyclicLR(rule(), 0, 1, scale_mode="x"), "scale_mode must be 'cycle' or"),
    (lambda: SCHEDULES.OneCycleLR(rule(), 1, 9, pct_start=2), "pct_start must be between .* got 2"),
    (lambda: SCHEDULES.OneCycleLR(rule(), 1, 9, div_factor=0), "div_factor must be above 0, got 0"),
    (
        lambda: SCHEDULES.OneCycleLR(optim.Adagrad(_weights()), 1, 9),
        "OneCycleLR: cycle_momentum=True needs an optimizer with momentum or betas",
    ),
    (lambda: SCHEDULES.SequentialLR(rule(), [], []), "schedulers: expected at least one"),
    (lambda: SCHEDULES.ReduceLROnPlateau(rule(), patience=-1), "patience must be .* got -1"),
    (lambda: SCHEDULES.ReduceLROnPlateau(rule(), min_lr=[1, 2]), "min_lr must be a number or 1"),
    (lambda: SCHEDULES.ReduceLROnPlateau(rule()).step("low"), "must be a number, got 'low'"),
    (lambda: nn.HuberLoss(delta=0), "delta must be positive, got 0"),
    (lambda: nn.SmoothL1Loss(beta="x"), "beta must be a number, got 'x'"),
    (lambda: nn.MSELoss(reduction="average"), "'mean', 'sum' or 'none', got 'average'"),
    (lambda: nn.CrossEntropyLoss(label_smoothing=2), "label_smoothing must be between .* got 2"),
    (
        lambda: functional.cross_entropy(LOGITS, LABELS, label_smoothing=-1),
        "label_smoothing must be between 0 and 1, got -1",
    ),
    (lambda: nn.TripletMarginLoss(p=0.5), "p must be at least 1, got 0.5"),
    (lambda: nn.TripletMarginLoss(margin="1"), "margin must be a number, got '1'"),
    (lambda: nn.HingeLoss([1]), r"margin must be a number, got \[1\]"),
    (lambda: nn.FocalLoss(gamma=-1), "gamma must not be negative, got -1"),
    (lambda: functional.sigmoid_focal_loss(LOGITS, LOGITS, 3), "alpha must be between .* got 3"),
    (lambda: nn.Dropout(1.5), "p must be between 0 and 1, got 1.5"),
    (lambda: nn.Dropout("half"), "p must be a number, got 'half'"),
    (lambda: nn.Linear(None, 3), "in_features must be a whole number of at least 1, got None"),
    (lambda: nn.Linear(3, "4"), "out_features must be a whole number of at least 1, got '4'"),
    (lambda: nn.Conv2d(3, 4, None), "kernel_size must be a whole number .* got None"),
    (lambda: nn.Conv2d(3, 4, (3, 0)), r"kernel_size must be a whole number .* got \(3, 0\)"),
    (lambda: nn.Conv2d(3, 4, "33"), "kernel_size must be a whole number .* got '33'"),
    (lambda: nn.LeakyReLU("a"), "negative_slope must be a number, got 'a'"),
    (lambda: nn.GaussianNoise("a"), "std must be a number, got 'a'"),
    (lambda: nn.CTCLoss(blank=-1), "blank must be a whole number of at least 0, got -1"),
    (lambda: nn.CrossEntropyLoss(ignore_index=0.5), "ignore_index must be a whole number or None"),
    (lambda: nn.LayerNorm(3, eps="x"), "eps must be a number, got 'x'"),
    (lambda: rule().load_state_dict({"lr": 1}), r"'state' and 'param_groups', got \['lr'\]"),
    (lambda: rule().step(3), "closure must be a function that gives the loss, got 3"),
    (lambda: penalty.l2(_weights(), "x"), "factor must be a number, got 'x'"),
    (lambda: penalty.l1([1.0], 0.1), "a penalty is on tensors, got 1.0"),
]


@pytest.mark.parametrize(("make", "text"), CASES, ids=[text for _, text in CASES])
def test_bad_arguments(make: Any, text: str) -> None:
    with pytest.raises((ValueError, TypeError, KeyError), match=text):
        make()


def test_choices_and_whole_numbers() -> None:
    assert arguments.choice("x", None, None, "a") is None
    with pytest.raises(ValueError, match="x must be None or 'a', got 'b'"):
        arguments.choice("x", "b", None, "a")
    assert arguments.whole("n", np.int64(3)) == 3
    assert arguments.whole("n", 3.0) == 3
    for wrong in (True, "3", None, float("inf"), 0):
        with pytest.raises(ValueError, match="n must be a whole number of at least 1"):
            arguments.whole("n", wrong)
