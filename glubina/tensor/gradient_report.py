"""What a check of gradients found, as text that says where the mistake may be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glubina.graph.node import Shape

_SHOWN = 5


@dataclass(frozen=True)
class WrongEntry:
    """One entry: its index, the gradient that backward gave, and what it should be."""

    index: tuple[int, ...]
    given: float
    expected: float

    def is_within(self, atol: float, rtol: float) -> bool:
        """Whether the two agree."""
        bound = atol + rtol * max(abs(self.given), abs(self.expected))
        return bool(abs(self.given - self.expected) <= bound)


@dataclass(frozen=True)
class TensorReport:
    """One input or parameter.

    checked: how many entries were compared; entries: all of them; wrong: those that differ. kinks:
    how many lie where the function has two slopes. missing: whether there was no gradient at all.
    """

    name: str
    shape: Shape
    checked: int
    entries: list[WrongEntry]
    wrong: list[WrongEntry]
    kinks: int = 0
    missing: bool = False

    @property
    def largest(self) -> float:
        """The largest difference."""
        return max((abs(e.given - e.expected) for e in self.entries), default=0.0)

    def lines(self) -> list[str]:
        """A line for the tensor, and some for its wrong entries."""
        size = "x".join(map(str, self.shape)) or "a number"
        kinks = f", {self.kinks} at a kink" if self.kinks else ""
        head = f"  {self.name} ({size}): {self.checked} entries compared{kinks}, "
        if not self.wrong:
            return [f"{head}all right (largest difference {self.largest:.1e})"]
        lines = [f"{head}{len(self.wrong)} wrong{self._hint()}"]
        for entry in sorted(self.wrong, key=lambda e: -abs(e.given - e.expected))[:_SHOWN]:
            place = f"{self.name}{list(entry.index)}" if entry.index else self.name
            lines.append(
                f"    {place}: backward gave {entry.given:.6g}, it should be {entry.expected:.6g}"
            )
        if len(self.wrong) > _SHOWN:
            lines.append(f"    and {len(self.wrong) - _SHOWN} more")
        return lines

    def _hint(self) -> str:
        """What the differences have in common."""
        given = np.array([e.given for e in self.entries])
        expected = np.array([e.expected for e in self.entries])
        if self.missing:
            return ": no gradient arrives"
        if not given.any():
            return ": all that arrives is 0"
        if not np.isfinite(given).all():
            return ": some are not finite"
        factor = float(given @ expected / max(float(expected @ expected), 1e-300))
        if len(given) > 1 and np.allclose(given, factor * expected, rtol=1e-4, atol=1e-8):
            if abs(factor + 1) < 1e-4:
                return ": the sign is the opposite"
            return f": each is {factor:.4g} times what it should be"
        return ""


@dataclass(frozen=True)
class GradientReport:
    """What `gl.check_gradients` found: true if all is right; prints as text."""

    name: str
    tensors: list[TensorReport]

    @property
    def ok(self) -> bool:
        """Whether every entry that was compared is right."""
        return not any(t.wrong for t in self.tensors)

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        checked = sum(t.checked for t in self.tensors)
        wrong = sum(len(t.wrong) for t in self.tensors)
        verdict = "the gradients are right" if self.ok else f"{wrong} of {checked} entries wrong"
        return "\n".join([f"{self.name}: {verdict}", *(s for t in self.tensors for s in t.lines())])

    __repr__ = __str__
