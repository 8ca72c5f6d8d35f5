"""The lines of a function under construction: nothing is worked out twice, or in a loop in vain.

The code generators write what they need where they need it. An instruction without side effects is
kept only once for its operands, and stands in front of the loops that its operands do not depend
on, so that LLVM has less to read, to compare and to move.
"""

from __future__ import annotations

from collections.abc import Iterable


class Lines:
    """Lines of LLVM IR, with the loops and conditions that are open at their end.

    A value's depth is the number of loops, of those open, that it is worked out in. A scope is a
    stretch of blocks of which the first is passed whenever one of the others is.
    """

    def __init__(self) -> None:
        self._lines: list[str | list[str]] = []
        self._depths: dict[str, int] = {}
        self._scopes: list[dict[str, str]] = [{}]  # in each: the names of values, by their text
        self._loops: list[tuple[list[str], dict[str, str]]] = []  # lines in front, scope around

    def text(self) -> str:
        """All lines."""
        return "\n".join(
            line if isinstance(line, str) else "\n".join(line) for line in self._lines if line
        )

    def append(self, line: str) -> None:
        """Add a line at the end."""
        self._lines.append(line)

    def gap(self) -> list[str]:
        """A place at the end for lines that are known later."""
        lines: list[str] = []
        self._lines.append(lines)
        return lines

    # -- values ---------------------------------------------------------------------------------

    def define(self, name: str, text: str) -> None:
        """Work a value out here, whatever it depends on."""
        self._lines.append(f"  {name} = {text}")
        self._depths[name] = len(self._loops)

    def given(self, names: Iterable[str]) -> None:
        """Values that are there without being worked out: parameters, or what a loop carries."""
        self._depths.update(dict.fromkeys(names, len(self._loops)))

    def found(self, text: str) -> str | None:
        """The name of a value with this text that is known here."""
        for scope in reversed(self._scopes):
            if text in scope:
                return scope[text]
        return None

    def place(self, name: str, text: str, operands: Iterable[str]) -> None:
        """Work a value out in front of all loops that none of its operands is worked out in."""
        here, depth = len(self._loops), 0
        for operand in operands:
            if operand[0] == "%":  # else it is a constant
                depth = max(depth, self._depths.get(operand, here))
        if depth < here:
            in_front, scope = self._loops[depth]
            in_front.append(f"  {name} = {text}")
            self._depths[name] = depth
        else:
            scope = self._scopes[-1]
            self.define(name, text)
        scope[text] = name

    # -- control --------------------------------------------------------------------------------

    def enter_loop(self) -> None:
        """What follows is a loop's, until `leave_loop`."""
        self._loops.append((self.gap(), self._scopes[-1]))
        self._scopes.append({})

    def leave_loop(self) -> None:
        """The loop ends."""
        self._loops.pop()
        self._scopes.pop()

    def enter_branch(self) -> None:
        """What follows is run only under a condition, until `leave_branch`."""
        self._scopes.append({})

    def leave_branch(self) -> None:
        """What follows is run in any case."""
        self._scopes.pop()

    def forget(self) -> None:
        """A block begins of which nobody says where control comes from."""
        self._scopes[-1].clear()
