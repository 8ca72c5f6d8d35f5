"""The table of a model's layers."""

from __future__ import annotations

from glubina.train import LayerRow, render_summary
from glubina.train.summary import number, size


def test_the_table() -> None:
    rows = [
        LayerRow("0", "Conv2d", (1, 26, 26, 32), 320, flops=389_376, memory=86_528),
        LayerRow("1.bn", "BatchNorm2d", (1, 26, 26, 32), 64, frozen=3, memory=86_528),
    ]
    text = render_summary(rows, "Network")
    assert "(N, 26, 26, 32)" in text
    assert "Parameters: 387 (384 trained, 3 frozen)" in text
    assert "389.38 k flops forward" in text
    assert "169.0 KiB" in text
    assert max(map(len, text.splitlines())) <= 100


def test_units() -> None:
    assert [number(v) for v in (0, 999, 1500, 2.5e6, 3e18)] == [
        "0", "999", "1.50 k", "2.50 M", "3,000.00 P",
    ]  # fmt: skip
    assert [size(v) for v in (0, 1023, 2048, 3 * 2**30)] == ["0 B", "1,023 B", "2.0 KiB", "3.0 GiB"]
