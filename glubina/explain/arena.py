"""A picture of working memory: what lies where, from which kernel to which."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from glubina.runtime.block_memory import Held

if TYPE_CHECKING:
    from glubina.explain.ladder import Ladder

_COLOURS = {"forward": "#54aeff", "backward": "#ff8182", "update": "#4ac26b", "": "#d0d7de"}
_HEIGHT = 420.0
_LEFT, _TOP, _BOTTOM = 80.0, 40.0, 50.0


def drawing(ladder: Ladder) -> str:
    """The picture: kernels from left to right, addresses from bottom to top.

    Blue: made by the forward pass; red: by the backward pass; green: by updates; grey: workspaces
    of kernels and loops.
    """
    blocks = [block for block in ladder.arena if block.size]
    count = max(max((b.last for b in blocks), default=0) + 1, 1)
    wide = max(6.0, min(28.0, 1100.0 / count))
    width, height = _LEFT + wide * count + 20, _TOP + _HEIGHT + _BOTTOM
    scale = _HEIGHT / max(ladder.arena_bytes, 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img">',
        "<style>text { font: 12px system-ui, 'DejaVu Sans', sans-serif; fill: #1b1f24; }</style>",
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="22">working memory: {ladder.arena_bytes:,} bytes, '
        f"{len(blocks)} blocks, at most {_most(blocks, count):,} bytes at once</text>",
    ]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = _TOP + _HEIGHT * (1 - share)
        label = f"{ladder.arena_bytes * share / 1e6:.1f} MB"
        parts.append(
            f'<line x1="{_LEFT}" x2="{_LEFT + wide * count:.1f}" y1="{y:.1f}" y2="{y:.1f}" '
            f'stroke="#eaeef2"/><text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">'
            f"{label}</text>"
        )
    for block in blocks:
        parts.append(_block(ladder, block, wide, scale))
    y = _TOP + _HEIGHT + 18
    parts.append(f'<text x="{_LEFT}" y="{y}">kernel 0</text>')
    end = _LEFT + wide * count
    parts.append(f'<text x="{end:.1f}" y="{y}" text-anchor="end">{count - 1}</text>')
    parts.append(_legend(y + 20))
    return "\n".join([*parts, "</svg>"])


def _most(blocks: list[Held], count: int) -> int:
    return max(
        sum(b.size for b in blocks if b.first <= kernel <= b.last) for kernel in range(count)
    )


def _block(ladder: Ladder, block: Held, wide: float, scale: float) -> str:
    origin = None if block.what is None else ladder.origin(block.what)
    stage = origin.stage if origin is not None else ""
    what = "a workspace" if block.what is None else repr(block.what)
    hint = f"{what}: {block.size:,} bytes at {block.offset:,}, kernels {block.first}-{block.last}"
    tall = max(block.size * scale, 0.6)
    top = _TOP + _HEIGHT - block.offset * scale - tall
    return (
        f'<rect x="{_LEFT + block.first * wide:.1f}" y="{top:.1f}" '
        f'width="{(block.last - block.first + 1) * wide:.1f}" height="{tall:.1f}" '
        f'fill="{_COLOURS[stage]}" stroke="#ffffff" stroke-width="0.6">'
        f"<title>{escape(hint)}</title></rect>"
    )


def _legend(y: float) -> str:
    parts, x = [], _LEFT
    names = {"forward": "forward", "backward": "backward", "update": "update", "": "workspace"}
    for stage, colour in _COLOURS.items():
        parts.append(
            f'<rect x="{x:.0f}" y="{y - 10:.0f}" width="12" height="12" fill="{colour}"/>'
            f'<text x="{x + 17:.0f}" y="{y:.0f}">{names[stage]}</text>'
        )
        x += 95
    return "".join(parts)
