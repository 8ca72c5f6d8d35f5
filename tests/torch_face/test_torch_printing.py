"""What is printed is what PyTorch prints: tensors, models, `grad_fn`."""

from __future__ import annotations

import pytest

import glubina.torch as torch
import glubina.torch.nn as nn
import glubina.torch.nn.functional as F


def test_models() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.ReLU(inplace=True),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip
    assert str(model) == (
        "Sequential(\n"
        "  (0): Conv2d(3, 8, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), bias=False)\n"
        "  (1): ReLU(inplace=True)\n"
        "  (2): MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)\n"
        "  (3): Flatten(start_dim=1, end_dim=-1)\n"
        "  (4): Linear(in_features=32, out_features=10, bias=True)\n"
        ")"
    )


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (lambda: nn.LSTM(3, 4, 2, batch_first=True), "LSTM(3, 4, num_layers=2, batch_first=True)"),
        (lambda: nn.Dropout(0.3), "Dropout(p=0.3, inplace=False)"),
        (lambda: nn.BatchNorm2d(5), "BatchNorm2d(5, eps=1e-05, momentum=0.1, affine=True, "
         "track_running_stats=True)"),
        (lambda: nn.LayerNorm(5), "LayerNorm((5,), eps=1e-05, elementwise_affine=True)"),
        (lambda: nn.ConvTranspose2d(4, 2, 3, 2, 1, 1), "ConvTranspose2d(4, 2, kernel_size=(3, 3), "
         "stride=(2, 2), padding=(1, 1), output_padding=(1, 1))"),
        (lambda: nn.Embedding(10, 3, padding_idx=0), "Embedding(10, 3, padding_idx=0)"),
        (lambda: nn.LeakyReLU(0.2, inplace=True), "LeakyReLU(negative_slope=0.2, inplace=True)"),
        (lambda: nn.Softmax(dim=1), "Softmax(dim=1)"),
        (lambda: nn.CrossEntropyLoss(), "CrossEntropyLoss()"),
        (lambda: nn.ModuleList([nn.Tanh() for _ in range(3)]),
         "ModuleList(\n  (0-2): 3 x Tanh()\n)"),
    ],
)  # fmt: skip
def test_layers(layer: object, text: str) -> None:
    assert str(layer()) == text  # type: ignore[operator]


def test_tensors() -> None:
    assert str(torch.tensor([1.5, 2, -3.25])) == "tensor([ 1.5000,  2.0000, -3.2500])"
    assert str(torch.tensor([1.0, -20.0])) == "tensor([  1., -20.])"
    assert str(torch.tensor([1e-5, 1.0])) == "tensor([1.0000e-05, 1.0000e+00])"
    assert str(torch.tensor([True, False])) == "tensor([ True, False])"
    assert str(torch.ones(1).double()) == "tensor([1.], dtype=torch.float64)"
    assert str(torch.zeros(2, 0)) == "tensor([], size=(2, 0))"
    assert str(torch.arange(2000)) == "tensor([   0,    1,    2,  ..., 1997, 1998, 1999])"
    assert str(torch.zeros(2, 1, 1)) == "tensor([[[0.]],\n\n        [[0.]]])"
    assert f"{torch.tensor(2.5)} {torch.tensor(2.5):.2f}" == "2.5 2.50"


def test_options_of_printing() -> None:
    torch.set_printoptions(precision=2, sci_mode=False)
    try:
        assert str(torch.tensor([1e-6, 1.2345])) == "tensor([0.00, 1.23])"
    finally:
        torch.set_printoptions(profile="default")
    assert str(torch.tensor([1.2345])) == "tensor([1.2345])"


def test_what_made_a_tensor() -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    assert str(x[0]) == "tensor([1., 2.], grad_fn=<SelectBackward0>)"
    for y, name in (
        *((x + 1, "Add"), (2 * x, "Mul"), (x - x, "Sub"), (x / 2, "Div"), (x**2, "Pow")),
        *((x @ x, "Mm"), (x.sum(), "Sum"), (x.mean(), "Mean"), (x.view(4), "View"), (x.t(), "T")),
        *((torch.sigmoid(x), "Sigmoid"), (F.relu(x), "Relu"), (torch.cat([x, x]), "Cat")),
        *((F.log_softmax(x, 1), "LogSoftmax"), (F.mse_loss(x, x.detach()), "MseLoss")),
        *((F.cross_entropy(x, torch.tensor([0, 1])), "NllLoss"), (x.clone(), "Clone")),
        (nn.Linear(2, 3)(x), "Addmm"),
    ):
        assert y.grad_fn.name() == f"{name}Backward0"
        assert type(y.grad_fn).__name__ == f"{name}Backward0"
    assert x.grad_fn is None
    (first, _), _ = (x * x.detach()).grad_fn.next_functions
    assert first.name() == "AccumulateGrad"
    assert first.variable is x


def test_values_and_indices() -> None:
    found = torch.tensor([[1.0, 5.0], [7.0, 2.0]]).max(dim=1)
    assert str(found) == (
        "torch.return_types.max(\nvalues=tensor([5., 7.]),\nindices=tensor([1, 0]))"
    )
    assert found.values is found[0]
