"""Where nodes come from: the user's line, the layers around it, the way there. On request only.

While somebody watches, every node is noted as it is made: with the line of the user's program,
the place in the library (a layer, a loss, an optimizer), and the modules being called. What a pass
of the compiler makes of a node inherits its origin. While nobody watches this costs one comparison
per node.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from glubina.graph.node import Node

FORWARD, BACKWARD, UPDATE = "forward", "backward", "update"


class Place(NamedTuple):
    """A line of a program: the file, the line's number, and the function around it."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"

    @property
    def short(self) -> str:
        """The place as a person reads it: the file from the folder in which the program runs."""
        if "ipykernel" in self.file:
            return f"line {self.line} of the cell"
        inside = os.path.join(os.getcwd(), "")
        return f"{self.file.removeprefix(inside)}:{self.line}"


@dataclass(frozen=True)
class Origin:
    """Where a node comes from.

    user: the innermost line outside the library (None if there is none, as in an interpreter's
        callback). library: the innermost line of the library above the engine itself, such as of
        a layer or an optimizer; None for what the user's own lines do. modules: the layers being
        called, the outermost first. stage: "forward", "backward" or "update". calls: for each of
        the modules the number of the call, which tells two calls of one module apart.
    """

    user: Place | None
    library: Place | None
    modules: tuple[Any, ...]
    stage: str
    calls: tuple[int, ...] = ()

    @property
    def layer(self) -> str:
        """The innermost layer: its dotted path below the outermost, and its kind; "" outside."""
        if not self.modules:
            return ""
        path = path_of(self.modules)
        return f"{path} {type(self.modules[-1]).__name__}".strip()

    def __str__(self) -> str:
        lines = [f"{p} in {p.function}" for p in (self.user, self.library) if p is not None]
        return ", ".join(part for part in (self.layer, self.stage, *lines) if part)


def path_of(modules: tuple[Any, ...], root: Any = None) -> str:
    """The dotted path of the innermost of the modules being called, "" for the outermost itself.

    root: the module below which it is looked for, if it is among them.
    """
    top = root if any(module is root for module in modules) else modules[0]
    for name, module in top.named_modules():
        if module is modules[-1]:
            return str(name)
    return ""


class Origins:
    """The origins noted in a `watching` block. `table` is by node, as long as that lives."""

    def __init__(self) -> None:
        self.table: MutableMapping[Node, Origin] = weakref.WeakKeyDictionary()
        self.modules: list[Any] = []
        self._calls: list[int] = []
        self._called = 0
        # the node that a pass is working on, and whether what it makes is a derivative of that
        self.source: Node | None = None
        self.backward = False
        self._passes = 0

    def of(self, node: Node) -> Origin | None:
        """The node's origin, if it was noted."""
        return self.table.get(node)

    def note(self, node: Node) -> None:
        """Called for each node as it is made, or found to be there."""
        table = self.table
        if node in table:
            return
        if self.source is not None:
            origin = table.get(self.source)
            if origin is not None:
                if self.backward and origin.stage == FORWARD:
                    origin = replace(origin, stage=BACKWARD)
                table[node] = origin
        elif not self._passes:
            table[node] = self._here()

    def _here(self) -> Origin:
        user, library, inside = _places(sys._getframe(2))
        stage = UPDATE if inside.startswith("glubina.optim") else FORWARD
        return Origin(user, library, tuple(self.modules), stage, tuple(self._calls))

    @contextmanager
    def inside(self, module: Any) -> Iterator[None]:
        """What is made inside belongs to a layer."""
        self._called += 1
        self.modules.append(module)
        self._calls.append(self._called)
        try:
            yield
        finally:
            self.modules.pop()
            self._calls.pop()

    @contextmanager
    def passing(self) -> Iterator[None]:
        """What is made inside comes from passes of the compiler, and from no line."""
        self._passes += 1
        before = self.source, self.backward
        try:
            yield
        finally:
            self._passes -= 1
            self.source, self.backward = before


watched: dict[int, Origins] = {}
"""The origins being noted, by thread. Empty while nobody watches: read by what makes nodes."""


def current() -> Origins | None:
    """The origins being noted in this thread, if they are."""
    return watched.get(threading.get_ident()) if watched else None


def note(node: Node) -> None:
    """Note a node that was made, if this thread is watched."""
    watch = watched.get(threading.get_ident())
    if watch is not None:
        watch.note(node)


@contextmanager
def watching() -> Iterator[Origins]:
    """Note where the nodes come from that this thread makes inside.

    A block in a block adds to the outer one.
    """
    thread = threading.get_ident()
    before = watched.get(thread)
    watch = watched[thread] = before or Origins()
    try:
        yield watch
    finally:
        if before is None:
            watched.pop(thread, None)


@contextmanager
def passing() -> Iterator[None]:
    """Tell who watches that a pass of the compiler is running."""
    watch = current()
    if watch is None:
        yield
    else:
        with watch.passing():
            yield


def each(nodes: Iterable[Node]) -> Iterator[Node]:
    """The nodes one by one; what a pass makes in its turn of each inherits its origin."""
    watch = current()
    if watch is None:
        yield from nodes
        return
    around = watch.source
    try:
        for node in nodes:
            watch.source = node
            yield node
    finally:
        watch.source = around


_ENGINE = (
    *("glubina.graph", "glubina.tensor", "glubina.runtime", "glubina.schedule"),
    "glubina.nn.formula",  # layers and losses write their formulas with it
)
# of Python's and of others, on the way between the two, or around a thread or a command
_BETWEEN = frozenset(
    (
        *("contextlib", "functools", "threading", "runpy", "concurrent.futures.thread"),
        *("typer.main", "typer.core", "click.core", "multiprocessing.process"),
    )
)
_NOBODYS = ("glubina.explain", "glubina.cli")  # what is around these is nobody's program
# how a frame is told: by its code, once for each
_rooms: dict[CodeType, str] = {}


def _room(frame: FrameType) -> str:
    """The name of the module that the frame's code stands in, "" outside the library."""
    code = frame.f_code
    found = _rooms.get(code)
    if found is None:
        name = str(frame.f_globals.get("__name__", ""))
        if name in _BETWEEN:
            name = _ENGINE[0]
        found = _rooms[code] = name if name.startswith("glubina.") else ""
    return found


def outside(frame: FrameType) -> bool:
    """Whether a frame runs a line outside the library."""
    return not _room(frame)


_PASSED, _OUTSIDE, _COMMAND, _LIBRARY = range(4)
_steps: dict[CodeType, int] = {}  # what a frame is on the way to the user's line, by its code


def _step(frame: FrameType) -> int:
    room = _room(frame)
    if not room:
        return _OUTSIDE
    if room.startswith("glubina.cli"):
        return _COMMAND  # what is around it is nobody's program
    return _PASSED if room.startswith(_ENGINE) else _LIBRARY


def _places(frame: FrameType | None) -> tuple[Place | None, Place | None, str]:
    """The user's line, the library's line above the engine, and in which module that stands."""
    library: Place | None = None
    inside = ""
    while frame is not None:
        step = _steps.get(frame.f_code)
        if step is None:
            step = _steps[frame.f_code] = _step(frame)
        if step == _OUTSIDE:
            return _place(frame), library, inside
        if step == _COMMAND:
            return None, library, inside
        if step == _LIBRARY and library is None:
            library, inside = _place(frame), _room(frame)
        frame = frame.f_back
    return None, library, inside


def user_place(frame: FrameType | None) -> Place | None:
    """The innermost line outside the library; None where a command or `explain` is at work."""
    while frame is not None:
        room = _room(frame)
        if not room:
            return _place(frame)
        if room.startswith(_NOBODYS):
            return None
        frame = frame.f_back
    return None


# -- where indices are used -----------------------------------------------------------------------
#
# Whether an index is in range shows only when a program runs. So that the error can then say which
# layer and which line it was, these are noted always, but of the few nodes that use indices only.


class Site(NamedTuple):
    """Where a node was made: the user's line, and the layers being called, the outermost first."""

    user: Place | None
    modules: tuple[weakref.ref[Any], ...]

    @property
    def layer(self) -> str:
        """As an error names it: "layer 'words' (Embedding(100, 8))"; "" outside of layers."""
        modules = tuple([module for ref in self.modules if (module := ref()) is not None])
        if not modules or len(modules) < len(self.modules):
            return ""
        own = modules[-1]
        head = f"{type(own).__name__}({getattr(own, 'extra_repr', str)()})"
        path = path_of(modules)
        return f"layer '{path}' ({head})" if path else head


layer_calls: set[CodeType] = set()
"""The functions that call a layer, their first argument."""

# of each node while it is there, and the last of each kind: what runs at once has let its graph go
_sites: MutableMapping[Node, Site] = weakref.WeakKeyDictionary()
_last_sites: dict[tuple[Any, ...], Site] = {}
_MOST_SITES = 1000


def kind_of(node: Node) -> tuple[Any, ...]:
    """What nodes have in common that do the same to sources of the same shapes and dtypes."""
    return (node.op, node.attributes, *[(s.shape, s.dtype) for s in node.sources])


def note_site(node: Node) -> None:
    """Remember where this node, which uses indices, is made."""
    user: Place | None = None
    modules: list[weakref.ref[Any]] = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code in layer_calls:
            modules.append(weakref.ref(frame.f_locals[code.co_varnames[0]]))
        elif user is None and not _room(frame):
            user = _place(frame)
        frame = frame.f_back
    if len(_last_sites) >= _MOST_SITES:
        _last_sites.clear()
    site = Site(user, tuple(reversed(modules)))
    _sites[node] = _last_sites[kind_of(node)] = site


def site_of(node: Node) -> Site | None:
    """Where this node was made, if it uses indices."""
    return _sites.get(node)


def last_site(node: Node) -> Site | None:
    """Where a node of this kind was made last."""
    return _last_sites.get(kind_of(node))


_known: dict[tuple[CodeType, int], Place] = {}  # by what a frame runs: a line takes time to find


def _place(frame: FrameType) -> Place:
    code = frame.f_code
    found = _known.get((code, frame.f_lasti))
    if found is None:
        found = Place(code.co_filename, frame.f_lineno, code.co_qualname)
        _known[code, frame.f_lasti] = found
    return found
