"""The table of activation functions in the docs is the one that the layers give."""

from __future__ import annotations

from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"


def test_the_table_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS))
    import activation_table

    text = activation_table.PAGE.read_text(encoding="utf-8")
    assert activation_table.with_table(text) == text, "the table is old: make pictures"
    for name in ("ReLU", "Heaviside", "Softsign", "SELU", "GELU", "Mish", "LogSoftmax", "GLU"):
        assert f"| `nn.{name}` |" in text
