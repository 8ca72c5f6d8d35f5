"""Formulas for people: a node written out over the names of what it is made of.

In two notations: plain text for terminals and drawings (`w1²·w2²`), and LaTeX.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from glubina.graph.node import Node, remake, topological
from glubina.graph.ops import input, opened
from glubina.graph.ops.composite import COMPOSITE
from glubina.graph.ops.hook import HOOK, arguments_of
from glubina.tensor.cell import Leaf

SUM, PRODUCT, POWER, ATOM = range(4)

# written as what they are applied to: they change the form, not the numbers
INLINE = frozenset(("broadcast", "reshape", "cast", "detach", "variable"))

_SUPERSCRIPT = str.maketrans("0123456789-.", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻·")
_COMPARISONS = {
    "less": ("<", "<"),
    "less_equal": ("≤", r"\le"),
    "equal": ("=", "="),
    "not_equal": ("≠", r"\ne"),
    "greater": (">", ">"),
    "greater_equal": ("≥", r"\ge"),
    "logical_and": ("∧", r"\land"),
    "logical_or": ("∨", r"\lor"),
}
LONGEST = 48  # a text in a box


def number(value: Any) -> str:
    """A number with four significant digits; whole numbers as they are."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if value == value and abs(value) < 1e6 and float(value).is_integer():
        return str(int(value)) if value or str(value)[0] != "-" else "-0"
    return f"{value:.4g}"


def constant_of(node: Node) -> str | None:
    """The number that a node is: part of a formula, or written by the user."""
    if node.op.name == "constant":
        return number(node.op.numpy(node.attributes))
    if type(node) is Leaf and node.number is not None:
        return number(node.number)
    return None


def bare(node: Node, stop: Container[Node] = ()) -> Node:
    """The node itself or, below what changes only the form, the first that has a vertex.

    stop: nodes at which to end, whatever they are.
    """
    while node not in stop and node.op.name in INLINE and node.sources:
        node = node.sources[0]
    return node


def title(node: Node) -> str:
    """What an operation is called: the primitive's name, or that of the layer's formula."""
    if node.op is HOOK:
        name: str = node.attributes.name
        return name
    if node.op is not COMPOSITE:
        return node.op.name
    full: str = node.attributes.formula.name
    module, _, name = full.rpartition(".")
    name = name.strip("_")
    # "by_label" is one of the ways of its module, cross_entropy
    return module.rpartition(".")[2] if name.startswith("by_") else name


class Writer:
    """Writes nodes; `names` has the nodes that are named instead of being written out."""

    def __init__(self, names: Mapping[Node, str], *, latex: bool = False) -> None:
        self.names = names
        self.latex = latex

    def write(self, node: Node) -> str:
        """The node's formula; the node itself is written out even if it has a name."""
        if node.op is COMPOSITE:
            return self._composite(node)
        return self._operation(node)[0]

    def derived(self, node: Node) -> str:
        """A derivative's formula, in which the node itself may be one of the named."""
        return self._source(node)[0]

    def name(self, text: str) -> str:
        """A name in the notation: in LaTeX `w11` becomes `w_{11}`, dotted names upright."""
        if not self.latex or text.startswith("\\"):
            return text
        head = text.rstrip("0123456789")
        if "." in text or len(head) > 2 or not head.isalpha():
            return r"\mathrm{" + text.replace("_", r"\_") + "}"
        return head + (f"_{{{text[len(head) :]}}}" if text != head else "")

    def _source(self, node: Node) -> tuple[str, int]:
        if node in self.names:
            return self.name(self.names[node]), ATOM
        value = constant_of(node)
        if value is not None:
            return value, SUM if value.startswith("-") else ATOM
        if node.op.name in INLINE:
            return self._source(node.sources[0])
        if node.op is COMPOSITE:
            return self._composite(node), ATOM
        return self._operation(node)

    def _at(self, node: Node, level: int) -> str:
        """The node, in brackets where it binds less than `level`."""
        text, own = self._source(node)
        return self._bracketed(text) if own < level else text

    def _bracketed(self, text: str) -> str:
        return rf"\left({text}\right)" if self.latex else f"({text})"

    def _composite(self, node: Node) -> str:
        """Written out if that is short, else by its name."""
        result, inputs = opened_alone(node)
        if _weight(result) <= 3:
            names = {x: self._source(s)[0] for x, s in zip(inputs, node.sources, strict=True)}
            return _Verbatim(names, latex=self.latex)._source(result)[0]
        needed = set(topological([result]))
        used = [
            source
            for x, source in zip(inputs, node.sources, strict=True)
            if x in needed and not (source.shape and constant_of(source))  # "no class weights"
        ]
        return self._call(title(node), used)

    def _call(self, name: str, sources: list[Node] | tuple[Node, ...]) -> str:
        arguments = ", ".join(self._source(s)[0] for s in sources)
        if self.latex:
            upright = name.replace("_", r"\_")
            return rf"\mathrm{{{upright}}}({arguments})"
        return f"{name}({arguments})"

    def _operation(self, node: Node) -> tuple[str, int]:
        name, sources = node.op.name, node.sources
        if name in INLINE and sources:
            return self._source(sources[0])
        if not sources:
            return self.name(self.names.get(node, constant_of(node) or name)), ATOM
        write = getattr(self, f"_{name}", None)
        if write is not None:
            found: tuple[str, int] = write(node)
            return found
        if name in _COMPARISONS:
            sign = _COMPARISONS[name][self.latex]
            return f"{self._at(sources[0], PRODUCT)} {sign} {self._at(sources[1], PRODUCT)}", SUM
        if self.latex and len(sources) == 1 and node.op.family == "elementwise":
            return self._by_formula(node), PRODUCT
        return self._call(name, sources), ATOM

    def _hook(self, node: Node) -> tuple[str, int]:
        return self._call(title(node), arguments_of(node) or ()), ATOM

    def _by_formula(self, node: Node) -> str:
        """The primitive's own LaTeX with the source in the place of x."""
        formula = node.op.formula
        inner = self._source(node.sources[0])[0]
        if formula.endswith(" x"):  # a function's name before its argument
            inner = self._at(node.sources[0], POWER)
        return _substituted(formula, inner)

    # -- arithmetic, named like the primitives ---------------------------------------------------

    def _add(self, node: Node) -> tuple[str, int]:
        if node.sources[0] is node.sources[1]:
            sign = r" \cdot " if self.latex else "·"
            return f"2{sign}{self._at(node.sources[0], PRODUCT)}", PRODUCT
        a, b = (self._at(s, SUM) for s in node.sources)
        if constant_of(bare(node.sources[1])) is not None and not b.startswith("-"):
            return f"{b} + {a}" if a[0] not in "-−" else f"{b} − {a[1:]}", SUM
        if b[0] in "-−":
            return f"{a} {self._minus} {b[1:]}", SUM
        return f"{a} + {b}", SUM

    @property
    def _minus(self) -> str:
        return "-" if self.latex else "−"

    def _subtract(self, node: Node) -> tuple[str, int]:
        a, b = self._at(node.sources[0], SUM), self._at(node.sources[1], PRODUCT)
        return f"{a} {self._minus} {b}", SUM

    def _negative(self, node: Node) -> tuple[str, int]:
        return self._minus + self._at(node.sources[0], PRODUCT), SUM

    def _multiply(self, node: Node) -> tuple[str, int]:
        x, y = node.sources
        if x is y:
            return self._raised(x, "2"), POWER
        if constant_of(bare(y)) is not None:
            x, y = y, x
        if constant_of(bare(x)) == "-1":
            return self._minus + self._at(y, PRODUCT), SUM
        sign = r" \cdot " if self.latex else "·"
        return f"{self._at(x, PRODUCT)}{sign}{self._at(y, PRODUCT)}", PRODUCT

    def _divide(self, node: Node) -> tuple[str, int]:
        x, y = node.sources
        if self.latex:
            return rf"\frac{{{self._source(x)[0]}}}{{{self._source(y)[0]}}}", ATOM
        return f"{self._at(x, PRODUCT)} / {self._at(y, POWER)}", PRODUCT

    def _power(self, node: Node) -> tuple[str, int]:
        x, y = node.sources
        return self._raised(x, self._source(y)[0]), POWER

    def _raised(self, x: Node, exponent: str) -> str:
        base = self._at(x, ATOM)
        if self.latex:
            return f"{base}^{{{exponent}}}"
        if all(c in "0123456789" for c in exponent):
            return base + exponent.translate(_SUPERSCRIPT)
        return f"{base}^{exponent}" if exponent.isalnum() else f"{base}^({exponent})"

    def _exp(self, node: Node) -> tuple[str, int]:
        inner = self._source(node.sources[0])[0]
        if self.latex:
            return f"e^{{{inner}}}", POWER
        return (f"e^{inner}" if inner.isalnum() else f"e^({inner})"), POWER

    def _log(self, node: Node) -> tuple[str, int]:
        inner = self._at(node.sources[0], ATOM)
        return (rf"\ln {inner}" if self.latex else f"ln {inner}"), PRODUCT

    def _matmul(self, node: Node) -> tuple[str, int]:
        sign = r"\, " if self.latex else " "
        return sign.join(self._at(s, PRODUCT) for s in node.sources), PRODUCT

    def _transpose(self, node: Node) -> tuple[str, int]:
        order = node.attributes.permutation
        straight = tuple(range(len(order)))
        if len(order) >= 2 and order == (*straight[:-2], straight[-1], straight[-2]):
            inner = self._at(node.sources[0], ATOM)
            return (rf"{inner}^\top" if self.latex else f"{inner}ᵀ"), POWER
        return self._call("transpose", node.sources), ATOM

    def _sum(self, node: Node) -> tuple[str, int]:
        source = node.sources[0]
        sign = r"\sum " if self.latex else "Σ "
        if len(node.attributes.axes) < len(source.shape):
            axes = ",".join(map(str, node.attributes.axes))
            sign = rf"\sum_{{{axes}}} " if self.latex else f"Σ[{axes}] "
        return sign + self._at(source, PRODUCT), PRODUCT

    def _conv(self, node: Node) -> tuple[str, int]:
        sign = r" * " if self.latex else " ∗ "
        return sign.join(self._at(s, POWER) for s in node.sources), PRODUCT

    def _where(self, node: Node) -> tuple[str, int]:
        """Iverson's bracket for 1 where a condition holds and 0 elsewhere."""
        condition, *values = node.sources
        if [constant_of(bare(v)) for v in values] == ["1", "0"]:
            inner = self._source(condition)[0]
            return (rf"\left[{inner}\right]" if self.latex else f"[{inner}]"), ATOM
        return self._call("where", node.sources), ATOM


class _Verbatim(Writer):
    """Takes the names as they are: they are formulas already."""

    def name(self, text: str) -> str:
        """The text itself, in brackets where it is more than a name."""
        plain = text.replace("_", "").replace(".", "").replace("{", "").replace("}", "")
        return text if plain.replace("\\mathrm", "").isalnum() else self._bracketed(text)


def _substituted(formula: str, argument: str) -> str:
    """A one-place LaTeX formula with its x replaced."""
    parts = []
    for i, character in enumerate(formula):
        around = formula[i - 1 : i] + formula[i + 1 : i + 2]
        alone = character == "x" and not any(c.isalpha() for c in around)
        parts.append(argument if alone else character)
    return "".join(parts)


def opened_alone(node: Node) -> tuple[Node, list[Node]]:
    """A node over inputs of its own in place of its sources, opened down to primitives."""
    inputs = [input(source.shape, source.dtype) for source in node.sources]
    return opened([remake(node, tuple(inputs))])[0], inputs


def _weight(node: Node) -> int:
    """How many operations that are worth a word a node has."""
    return sum(
        bool(n.sources) and n.op.name not in INLINE and n.op.name != "transpose"
        for n in topological([node])
    )


def shortened(text: str, longest: int = LONGEST) -> str:
    """A text of at most so many characters."""
    return text if len(text) <= longest else text[: longest - 1] + "…"
