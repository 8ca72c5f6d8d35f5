"""What the documentation prints is what comes out."""

from __future__ import annotations

import ast
import contextlib
import io
from pathlib import Path
from typing import Any

from test_docs import blocks

from glubina import explain

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "explain.md"


def test_the_texts_on_the_page_are_those_of_its_code() -> None:
    found = blocks(PAGE.read_text(encoding="utf-8"))
    namespace: dict[str, Any] = {"__name__": "__main__"}
    printed, compared = "", 0
    for block in found:
        if block.language == "python":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                lines = "\n" * (block.line - 1) + block.text  # the page's own numbers
                exec(compile(lines, str(PAGE), "exec"), namespace)
            printed = out.getvalue()
        elif block.language == "text":
            assert block.text == printed
            compared += 1
    assert compared >= 4


def test_type_checkers_see_every_name_of_the_room() -> None:
    assert explain.__file__ is not None
    tree = ast.parse(Path(explain.__file__).with_name("room.py").read_text(encoding="utf-8"))
    (room,) = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    known = set()
    for statement in room.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        targets = [statement.target] if isinstance(statement, ast.AnnAssign) else targets
        known |= {target.id for target in targets if isinstance(target, ast.Name)}
    assert known == set(explain.__all__)
