"""Going on with a sequence: symbols drawn one after another from a network's predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.models.char_lstm import CharLSTM
from glubina.nn import Module
from glubina.nn.checks import positive
from glubina.tensor import no_grad, tensor

Symbols = NDArray[np.int64]


def sample(
    model: Module,
    start: Sequence[int] | NDArray[Any],
    length: int,
    temperature: float = 1.0,
    top: int | None = None,
    seed: int | None = None,
) -> Symbols:
    """`start` and `length` more symbols, each drawn from softmax(logits / temperature).

    model: of symbols (N, T) to logits (N, T, num_symbols) of the next ones, such as `GPT`,
    `WaveNet` or `CharLSTM`; it is used as in `eval()`. A network with a `context` or a
    `receptive_field` looks at that many symbols, the last ones. temperature: below 1 the likely
    symbols become likelier, at 0 the likeliest is taken. top: draw from this many likeliest
    symbols only. seed: for the same symbols again.

    ValueError for an empty start or settings that make no sense.
    """
    given = np.asarray(start)
    if given.ndim != 1 or not given.size or given.dtype.kind not in "iu":
        raise ValueError(f"start must be at least one symbol, whole numbers, got {start!r}")
    if not temperature >= 0:
        raise ValueError(f"temperature must not be negative, got {temperature!r}")
    if top is not None:
        positive("top", top)
    random = np.random.default_rng(seed)
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with no_grad():
            reader = _Recurrent(model) if isinstance(model, CharLSTM) else _Window(model)
            symbols = given.astype(np.int64).tolist()
            for _ in range(positive("length", length)):
                symbols.append(_drawn(reader.logits(symbols), temperature, top, random))
    finally:
        for module, mode in modes.items():
            module.training = mode
    return np.array(symbols, np.int64)


class _Window:
    """Reads the last symbols anew for each next one, always in an array of the same size.

    What stands after the last symbol does not matter: the network is causal.
    """

    def __init__(self, model: Module, usual: int = 64) -> None:
        known = getattr(model, "context", getattr(model, "receptive_field", usual))
        self.model, self.size = model, int(known)

    def logits(self, symbols: list[int]) -> NDArray[Any]:
        seen = symbols[-self.size :]
        window = np.zeros((1, self.size), np.int64)
        window[0, : len(seen)] = seen
        found: NDArray[Any] = self.model(tensor(window)).numpy()
        last: NDArray[Any] = found[0, len(seen) - 1]
        return last


class _Recurrent:
    """Reads each symbol once and keeps the states."""

    def __init__(self, model: CharLSTM) -> None:
        self.model, self.read, self.states = model, 0, model.begin(1)

    def logits(self, symbols: list[int]) -> NDArray[Any]:
        for symbol in symbols[self.read :]:
            y, self.states = self.model.continued(tensor(np.array([[symbol]])), self.states)
            found: NDArray[Any] = y.numpy()[0, 0]
        self.read = len(symbols)
        return found


def _drawn(
    logits: NDArray[Any], temperature: float, top: int | None, random: np.random.Generator
) -> int:
    if temperature == 0:
        return int(logits.argmax())
    scores = logits.astype(np.float64) / temperature
    if top is not None and top < len(scores):
        scores[np.argsort(-scores, kind="stable")[top:]] = -np.inf
    shares = np.exp(scores - scores.max())
    return int(random.choice(len(shares), p=shares / shares.sum()))
