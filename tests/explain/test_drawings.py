"""Drawings, pages and texts: whole, legible, on their own."""

from __future__ import annotations

import io
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import glubina as gl
from glubina import nn
from glubina.explain import ExplainError, Explanation, heat, landscape
from glubina.explain.layout import place

SVG = "{http://www.w3.org/2000/svg}"


def small() -> Explanation:
    """w1² · w2²."""
    w1, w2 = (gl.tensor(np.float64(v), requires_grad=True) for v in (2, 3))
    Q = w1**2 * w2**2
    return gl.explain(Q)


def network(layers: int) -> Explanation:
    """The loss of a deep network."""
    made = []
    for _ in range(layers):
        made += [nn.Linear(4, 4), nn.Tanh()]
    net = nn.Sequential(*made)
    x = gl.tensor(np.ones((2, 4), np.float32))
    return gl.explain(lambda: (net(x) ** 2).mean())


def boxes(svg: str) -> list[tuple[float, float, float, float]]:
    """Left, top, right, bottom of every box."""
    found = []
    for rect in ET.fromstring(svg).iter(f"{SVG}rect"):
        if "box" in rect.get("class", ""):
            x, y, w, h = (float(rect.get(k, "0")) for k in ("x", "y", "width", "height"))
            found.append((x, y, x + w, y + h))
    return found


@pytest.mark.parametrize("layers", [2, 70])
@pytest.mark.parametrize("direction", ["auto", "right", "down"])
def test_nothing_is_cut_off_and_no_box_covers_another(layers: int, direction: str) -> None:
    e = network(layers)
    svg = e.svg(direction=direction)
    root = ET.fromstring(svg)
    width, height = float(root.get("width", "0")), float(root.get("height", "0"))
    found = boxes(svg)
    assert len(found) == len(e.nodes)
    for left, top, right, bottom in found:
        assert left >= 0
        assert top >= 0
        assert right <= width
        assert bottom <= height
    for i, a in enumerate(found):
        for b in found[i + 1 :]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    for text in root.iter(f"{SVG}text"):
        content = text.text or ""
        size = 6.7 if text.get("class") == "label" else 7.25
        assert 0 <= float(text.get("x", "0")) <= width - size * len(content) + 1


class Branches(nn.Module):
    """Branches of different lengths that come together, and a loop over time."""

    def __init__(self) -> None:
        self.short = nn.Conv1d(4, 3, 1)
        self.long = nn.Sequential(nn.Conv1d(4, 3, 1), nn.ReLU(), nn.Conv1d(3, 3, 3, padding=1))
        self.pooled = nn.Sequential(nn.MaxPool1d(3, stride=1, padding=1), nn.Conv1d(4, 3, 1))
        self.loop = nn.LSTM(9, 4, bidirectional=True, batch_first=True)

    def forward(self, x: gl.Tensor) -> gl.Tensor:
        """One concatenation, then the loop."""
        joined = gl.concat([self.short(x), self.long(x), self.pooled(x)], axis=-1)
        outputs, _ = self.loop(joined)
        return (outputs**2).mean()


def branches() -> Explanation:
    """The loss of a network with branches in a list."""
    net = nn.ModuleDict({"branches": Branches()})
    x = gl.tensor(np.random.default_rng(0).standard_normal((2, 5, 4)).astype(np.float32))
    return gl.explain(lambda: net["branches"](x) * 2)


def points_of(path: str) -> list[tuple[float, float]]:
    """Points along a path of lines and Bézier curves."""
    numbers = re.findall(r"[MLC][^MLC]*", path)
    found = [(0.0, 0.0)]
    for part in numbers:
        values = [float(v) for v in part[1:].split()]
        ends = [found[-1], *zip(values[::2], values[1::2], strict=True)]
        if part[0] != "C":
            ends = [ends[0], ends[0], ends[1], ends[1]]
        for t in np.linspace(0, 1, 20):
            weights = ((1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3)
            x, y = (sum(w * e[i] for w, e in zip(weights, ends, strict=True)) for i in (0, 1))
            found.append((x, y))
        if part[0] == "M":
            found = found[-1:]
    return found


@pytest.mark.parametrize("direction", ["right", "down"])
@pytest.mark.parametrize("depth", [1, None])
def test_lines_pass_between_boxes_and_labels_stand_apart(depth: int | None, direction: str) -> None:
    svg = branches().svg(depth, direction=direction)
    found = boxes(svg)
    lines = [p.get("d", "") for p in ET.fromstring(svg).iter(f"{SVG}path") if p.get("class")]
    assert len(lines) >= len(found) - 1
    for line in lines:
        for x, y in points_of(line):
            inside = [b for b in found if b[0] + 1 < x < b[2] - 1 and b[1] + 1 < y < b[3] - 1]
            assert not inside, (line, inside)
    labels = [t for t in ET.fromstring(svg).iter(f"{SVG}text") if t.get("class") == "label"]
    spans = []
    for label in labels:
        left, bottom = float(label.get("x", "0")), float(label.get("y", "0"))
        spans.append((left, bottom - 10, left + 6.7 * len(label.text or ""), bottom))
    assert spans
    for i, a in enumerate(spans):
        for b in spans[i + 1 :] + found:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], (a, b)


def test_what_is_made_of_weights_alone_stands_by_its_reader() -> None:
    placed = place(
        dict.fromkeys(("x", "a", "b", "c", "d", "w", "wt", "y"), (10.0, 10.0)),
        [("x", "a"), ("a", "b"), ("b", "c"), ("c", "d"), ("w", "wt"), ("wt", "d"), ("d", "y")],
    )
    assert placed.along["wt"] == placed.along["c"]
    assert placed.along["w"] == placed.along["b"]


def test_layers_in_containers_have_their_paths() -> None:
    class Listed(nn.Module):
        def __init__(self) -> None:
            self.layers = nn.ModuleList([nn.Sequential(nn.Linear(3, 3), nn.ReLU())] * 1)
            self.layers.append(nn.Sequential(nn.Linear(3, 3), nn.Tanh()))

        def forward(self, x: gl.Tensor) -> gl.Tensor:
            for layer in self.layers:
                x = layer(x)
            return x

    e = gl.explain(Listed(), gl.tensor(np.ones((2, 3), np.float32)))
    assert "layers.0 Sequential" in e.text(depth=1)
    assert "layers.1 Sequential" in e.text(depth=1)


def test_the_table_of_a_large_network_is_folded_by_layers(tmp_path: Path) -> None:
    inner = [nn.Sequential(nn.Linear(3, 3), nn.Tanh()) for _ in range(12)]
    net = nn.Sequential(nn.Sequential(*inner), nn.Linear(3, 2))
    x = gl.tensor(np.ones((2, 3), np.float32))
    e = gl.explain(lambda: (net(x) ** 2).mean())
    text = e.save(tmp_path / "n.html").read_text(encoding="utf-8")
    titles = re.findall(r"<summary><b>([^<]*)</b>", text)
    assert titles[:4] == ["0 Sequential", "0.0 Sequential", "0.0.0 Linear", "0.0.1 Tanh"]
    assert "1 Linear" in titles
    assert text.count("<details>") == text.count("</details>") == len(titles) == 2 + 12 * 3
    outline = text[text.index("Every vertex") :]
    for vertex in e.nodes:
        assert f"<td>{vertex.name}" in outline


def test_global_pooling_has_a_strip_of_channels_for_a_picture() -> None:
    assert heat.matrix(np.ones((2, 1, 1, 16))).shape == (2, 16)
    assert heat.matrix(np.ones((2, 5, 4, 16))).shape == (5, 4)


def test_long_graphs_are_drawn_downwards() -> None:
    root = ET.fromstring(network(40).svg())
    assert float(root.get("height", "0")) > float(root.get("width", "0"))


def test_a_drawing_names_values_derivatives_and_local_derivatives() -> None:
    svg = small().svg()
    for text in ("Q = v1·v2", ">36<", "∂ 24", "2·w1 = 4", "v2 = 9"):
        assert text in svg
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")


def test_steps_go_forward_then_backward() -> None:
    frames = small().steps()
    assert [f.direction for f in frames] == ["forward"] * 5 + ["backward"] * 5
    assert [f.name for f in frames[:5]] == ["w1", "v1", "w2", "v2", "Q"]
    assert str(frames[-1]) == "∂Q/∂w1 = ∂Q/∂v1 · ∂v1/∂w1 = 9·4 = 36"
    first, last = frames[0].svg(), frames[-1].svg()
    assert first.count('class="value"') == 1
    assert 'class="derivative"' not in first
    assert last.count('class="derivative"') == 5
    assert "box now" in last


def test_an_animation_plays_by_itself() -> None:
    svg = small().animation(seconds=0.5)
    root = ET.fromstring(svg)
    animated = list(root.iter(f"{SVG}animate"))
    assert len(animated) >= 15
    for element in animated:
        times = [float(t) for t in element.get("keyTimes", "").split(";")]
        assert times == sorted(times)
        assert times[0] == 0
        assert times[-1] == 1
        assert len(times) == len(element.get("values", "").split(";"))
        assert element.get("repeatCount") == "indefinite"


def test_text_has_a_line_for_each_vertex() -> None:
    text = str(small())
    assert re.search(r"^v1 = w1²\s+4\s+9\s+∂/∂w1: 2·w1 = 4$", text, re.MULTILINE)
    assert len(text.splitlines()) == 2 + 5
    assert "∂Q/∂·" in text


def test_files_by_their_ending(tmp_path: Path) -> None:
    e = small()
    for ending, beginning in ((".svg", "<svg"), (".html", "<!doctype html>"), (".txt", "")):
        target = e.save(tmp_path / f"q{ending}")
        assert target.read_text(encoding="utf-8").startswith(beginning)
    with pytest.raises(ExplainError, match=r"q.gif: this is written as one of .svg, .html"):
        e.save(tmp_path / "q.gif")


def test_a_page_stands_alone(tmp_path: Path) -> None:
    text = network(2).save(tmp_path / "n.html", 1).read_text(encoding="utf-8")
    assert "src=" not in text
    assert "<link" not in text
    assert text.count("<svg") > 3  # depths and steps
    assert "everything" in text


def test_heat_pictures_are_png_files() -> None:
    image = pytest.importorskip("PIL.Image")
    values = np.zeros((100, 30))
    values[:50] = 1
    values[50:] = -1
    values[0, 0] = np.nan
    picture = image.open(io.BytesIO(heat.png(values)))
    assert picture.size == (24, 24)
    assert picture.getpixel((12, 3)) == (178, 24, 43)
    assert picture.getpixel((12, 20)) == (33, 102, 172)
    assert picture.getpixel((0, 0)) == (0, 0, 0)


@given(st.integers(1, 14), st.randoms(use_true_random=False))
def test_layout_of_random_graphs(count: int, random: object) -> None:
    choose = random.random  # type: ignore[attr-defined]
    sizes = {i: (20 + 80 * choose(), 10 + 30 * choose()) for i in range(count)}
    lines = [(a, b) for b in range(count) for a in range(b) if choose() < 0.3]
    placed = place(sizes, lines, gap=5)
    for a, b in lines:
        ends = placed.along[a] + sizes[a][0] / 2, placed.along[b] - sizes[b][0] / 2
        assert ends[0] < ends[1]
        assert placed.bends[a, b][0] == (placed.along[a], placed.across[a])
    for a in sizes:
        assert placed.across[a] - sizes[a][1] / 2 >= -1e-6
        assert placed.across[a] + sizes[a][1] / 2 <= placed.breadth + 1e-6
        for b in sizes:
            if a < b and placed.along[a] == placed.along[b]:
                distance = abs(placed.across[a] - placed.across[b])
                assert distance >= (sizes[a][1] + sizes[b][1]) / 2 + 5 - 1e-6


def test_what_a_notebook_shows(tmp_path: Path) -> None:
    e = small()
    assert e._repr_svg_() == e.svg()
    assert repr(e) == "<Q = v1·v2: 5 vertices>"
    frame = e.steps()[2]
    assert frame._repr_svg_() == frame.svg()
    assert repr(frame) == str(frame)
    derivation = e.derivation("w1")
    assert derivation._repr_latex_() == derivation.latex
    assert repr(derivation) == str(derivation)
    assert repr(e.paths("w1")) == str(e.paths("w1"))
    pytest.importorskip("matplotlib")
    surface = landscape.surface(lambda a, b: a**2 + b**2, points=5)
    assert surface._repr_png_()[:4] == b"\x89PNG"


def test_a_notebook_without_matplotlib_shows_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    surface = landscape.surface(lambda a, b: a**2 + b**2, points=5)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert surface._repr_png_() is None
