"""The multilayer perceptron."""

from __future__ import annotations

from collections.abc import Sequence

from glubina.models.registry import add
from glubina.nn import GELU, Dropout, Flatten, Linear, Module, ReLU, Sequential, Sigmoid, Tanh
from glubina.nn.architecture import register
from glubina.tensor import Tensor

ACTIVATIONS: dict[str, type[Module]] = {
    "relu": ReLU,
    "tanh": Tanh,
    "sigmoid": Sigmoid,
    "gelu": GELU,
}


@register
class MLP(Module):
    """Linear layers with a nonlinearity between them: (N, ...) to logits (N, num_classes).

    hidden: the layers' widths. activation: "relu", "tanh", "sigmoid" or "gelu". dropout: after
    each hidden layer. Source: Rumelhart, Hinton and Williams, "Learning representations by
    back-propagating errors", 1986.
    """

    def __init__(
        self,
        in_features: int,
        hidden: Sequence[int] = (512, 256),
        num_classes: int = 10,
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        if activation not in ACTIVATIONS:
            known = ", ".join(map(repr, ACTIVATIONS))
            raise ValueError(f"activation is one of {known}, got {activation!r}")
        parts: list[Module] = [Flatten()]
        for width in hidden:
            parts += [Linear(in_features, width), ACTIVATIONS[activation]()]
            parts += [Dropout(dropout)] if dropout else []
            in_features = width
        self.layers = Sequential(*parts, Linear(in_features, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """From (N, ...) with in_features numbers for each example to (N, num_classes)."""
        result: Tensor = self.layers(x)
        return result


add("mlp", MLP, "Rumelhart et al., 1986", (28, 28, 1), in_features=784)
