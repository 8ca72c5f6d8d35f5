"""Fusion: which nodes run together in one kernel, and which values go to memory.

Heavy nodes (contractions, reductions, windows, scatters, loops) are the anchors of kernels. A light
node (element-wise, movement) is worked out where it is needed, again in each kernel that reads it,
unless it *must lie in memory*: the outputs, the operands of contractions, and what would cost too
much to work out twice. A light node that must lie in memory is absorbed by the heavy node that it
follows element for element (a bias, an activation, an optimizer's update), so that a kernel's
result is stored once, finished.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heappop, heappush

from glubina.graph.node import Node, topological
from glubina.graph.techniques import used
from glubina.schedule.kernel import Kernel, root
from glubina.schedule.order import in_order, needed
from glubina.schedule.row_units import RowUnits
from glubina.schedule.rows import is_one_reduction
from glubina.schedule.storing import worth_storing
from glubina.schedule.units import Units
from glubina.schedule.views import affine_view

CONTRACTIONS = ("matmul", "conv", "conv_filter")
REDUCTIONS = ("sum", "max", "prod", "argmax")
WINDOWS = ("pool_max", "pool_index", "pool_gather", "pool_sum")
SCATTERS = ("pool_scatter", "scatter_add")
LOOPS = ("scan",)
ATTENTION = ("attention", "attention_total", "attention_gradient")
HEAVY = frozenset((*CONTRACTIONS, *REDUCTIONS, *WINDOWS, *SCATTERS, *LOOPS, *ATTENTION))

MOST_OUTPUTS = 12
"""The most arrays that one element-wise kernel writes."""

MOST_SUMS = 4
"""The most reductions that one kernel makes: their sums are to stay in registers, and each is to
run while what it reads is in the cache, not at the end of all that share something with it."""


def is_leaf(node: Node) -> bool:
    """Whether a node is no kernel's work: an input, or what lies in memory and is waited for."""
    return node.op.name in ("input", "after")


def is_heavy(node: Node) -> bool:
    """Whether a node is the anchor of a kernel."""
    return node.op.name in HEAVY


def fuse(outputs: Sequence[Node]) -> list[Kernel]:
    """The kernels that compute the outputs, in an order in which they can run."""
    order = topological(outputs)
    stored = _must_be_stored(order, outputs)
    while True:
        fusion = Fusion(order, stored)
        more = worth_storing(fusion)
        if not more:
            return fusion.kernels()
        stored |= more


def _must_be_stored(order: Sequence[Node], outputs: Sequence[Node]) -> set[Node]:
    stored = {root(output) for output in outputs}
    for node in order:
        stored |= {root(operand) for operand in memory_operands(node)}
        if node.op.name == "after":
            stored.add(root(node))
    return {node for node in stored if node.op.name != "input"}


def memory_operands(node: Node) -> list[Node]:
    """The values that a kernel anchored at `node` reads from memory as they are."""
    name = node.op.name
    if name == "matmul" or name in ATTENTION:
        return [matmul_operand(source) for source in node.sources]
    if name in ("conv", "conv_filter", *LOOPS):
        return list(node.sources)
    if name == "random_bits":
        return [node.sources[0]]
    if name in ("take", "pool_gather"):
        return [node.sources[0]]
    if name == "pool_scatter":
        return list(node.sources)
    if name in ("pool_max", "pool_index", "pool_sum"):
        return [node.sources[0]]
    if name == "scatter_add":
        return list(node.sources)
    return []


def matmul_operand(source: Node) -> Node:
    """What lies in memory under a factor: itself, or what it is an affine view of."""
    view = affine_view(source)
    return source if view is None else view.root


class Fusion:
    """One round of grouping for a given set of stored values."""

    def __init__(self, order: Sequence[Node], stored: set[Node]) -> None:
        self.order = order
        self.required = set(stored)
        self.units = Units(order)
        self.users: dict[Node, list[Node]] = {node: [] for node in order}
        for node in order:
            read = node.sources[:1] if node.op.name == "after" else node.sources
            for source in dict.fromkeys(read):
                self.users[source].append(node)
        self.data: dict[Node, frozenset[Node]] = {}
        self.anchors: dict[int, list[Node]] = {}
        self.barred = sum(
            1 << i for i, node in enumerate(order) if is_heavy(node) or node.op.name == "after"
        )
        self.rows = RowUnits(self)
        self._join_anchors()
        self.rows.join_by_followers()
        absorbing = used("absorbing")
        for unit, anchors in list(self.anchors.items()):
            if absorbing and anchors[0].op.name not in ATTENTION:  # they store what they make
                self._absorb(unit)
        self.maps: list[int] = []
        self._group_maps()
        self.stored = self._finally_stored()

    # -- heavy units ----------------------------------------------------------------------------

    def _join_anchors(self) -> None:
        """A unit per heavy node; those that read the same data in the same way share one."""
        alike: dict[tuple[object, ...], list[int]] = {}
        for node in self.order:
            if not is_heavy(node):
                continue
            unit = self.units.of(node)
            self.anchors[unit] = [node]
            if node.op.name in REDUCTIONS and self.rows.add(unit, node):
                continue
            key = _sharing_key(node)
            if key is None:
                continue
            for other in alike.setdefault(key, []):
                if node.op.name in REDUCTIONS and len(self.anchors[other]) >= MOST_SUMS:
                    continue
                if self.units.independent(unit, other) and self.share_input(node, other):
                    self.units.join(other, unit)
                    self.anchors[other].append(node)
                    del self.anchors[unit]
                    break
            else:
                alike[key].append(unit)

    def share_input(self, node: Node, unit: int) -> bool:
        """Whether a heavy node reads what an anchor of the unit reads."""
        if node.op.name in (*WINDOWS, *LOOPS, *ATTENTION):
            return True
        return any(self._share_data(node, anchor) for anchor in self.anchors[unit])

    def _share_data(self, a: Node, b: Node) -> bool:
        """Whether two nodes read something at full size that is the same."""
        for node in (a, b):
            if node not in self.data:
                self.data[node] = frozenset(_big_sources(node, self.required))
        return not self.data[a].isdisjoint(self.data[b])

    def _absorb(self, unit: int) -> None:
        """Take in the light nodes that follow the anchors element for element to a stored value."""
        candidates = self.followers(unit)
        wanted = self._only_readers(unit, candidates)
        for node in reversed(candidates):
            if node in self.required or any(user in wanted for user in self.users[node]):
                wanted.add(node)
        for node in candidates:
            if node in wanted and self.units.may_join(unit, node):
                self.units.join(unit, self.units.of(node))
                self.rows.absorbed(node, unit)

    def followers(self, unit: int) -> list[Node]:
        """Light nodes that could run at the end of the unit, sources first."""
        if self.anchors[unit][0].op.name in LOOPS:
            return []
        number, before = self.units.number, self.units.before
        size = self.anchors[unit][0].size
        closure = self.units.members[unit]
        found: list[Node] = []
        waiting: list[int] = []
        seen: set[int] = set()

        def reach(node: Node) -> None:
            for user in self.users[node]:
                if number[user] not in seen:
                    seen.add(number[user])
                    heappush(waiting, number[user])

        for member in self.units.nodes(unit):
            reach(member)
        while waiting:
            node = self.order[heappop(waiting)]
            follows = self.rows.follows(node, unit)
            if follows is None:
                follows = _follows(node, size)
            if not follows or self.is_taken(node):
                continue
            outside = [self.units.of(s) for s in node.sources if not closure >> number[s] & 1]
            if any(before[u] & closure for u in outside):
                continue
            closure |= 1 << number[node]
            found.append(node)
            reach(node)
        return found

    def _only_readers(self, unit: int, candidates: list[Node]) -> set[Node]:
        """Storing f(x) instead of x costs nothing where f is the only one that reads x."""
        free = {a for a in self.anchors[unit] if len(self.users[a]) == 1} - self.required
        inside = {*self.anchors[unit], *candidates}
        wanted: set[Node] = set()
        for node in candidates:
            sources = [s for s in node.sources if s in inside]
            small = all(node.dtype.itemsize <= s.dtype.itemsize for s in sources)
            moved = node.op.name == "reshape"
            direct = moved or node.op.family == "elementwise"
            if small and direct and all(s in free for s in sources):
                if not moved:
                    wanted.add(node)
                if len(self.users[node]) == 1 and node not in self.required:
                    free.add(node)
        return wanted | self._meeting_points(unit, candidates)

    def _meeting_points(self, unit: int, candidates: list[Node]) -> set[Node]:
        """Candidates through which all ways lead from the only anchor, as where branches meet."""
        anchor, *others = self.anchors[unit]
        if others or anchor in self.required:
            return set()
        left = {anchor: len(self.users[anchor])}  # what follows from it, and uses still to come
        found: set[Node] = set()
        for node in candidates:
            sources = [s for s in dict.fromkeys(node.sources) if s in left]
            if not sources:
                continue
            for source in sources:
                left[source] -= 1
                if not left[source]:
                    del left[source]
            left[node] = len(self.users[node])
            small = node.dtype.itemsize <= anchor.dtype.itemsize
            if len(left) == 1 and small and node.op.name != "reshape":
                found.add(node)
            if node in self.required:
                break
        return found

    def is_taken(self, node: Node) -> bool:
        """Whether a node belongs to an anchor or another node already."""
        unit = self.units.of(node)
        return unit in self.anchors or not self.units.alone(unit)

    # -- element-wise units ---------------------------------------------------------------------

    def _group_maps(self) -> None:
        """A unit per light stored node; neighbours over the same shape share one."""
        alike: dict[tuple[int, ...], list[int]] = {}
        for node in self.order:
            if node not in self.required or self.is_taken(node) or is_leaf(node):
                continue
            units = alike.setdefault(_squeezed(node), [])
            for unit in reversed(units):
                if self._fits(unit, node):
                    for light in self._between(node, unit) or [node]:
                        self.units.join(unit, self.units.of(light))
                    break
            else:
                units.append(self.units.of(node))
                self.maps.append(units[-1])

    def _fits(self, unit: int, node: Node) -> bool:
        members = self.units.nodes(unit)
        if sum(member in self.required for member in members) >= MOST_OUTPUTS:
            return False
        own = self.units.of(node)
        if self.units.needs(unit, own):  # through anchors that share a unit
            return False
        if not self.units.needs(own, unit):
            return any(self._share_data(node, member) for member in members)
        return self._between(node, unit) is not None

    def _between(self, node: Node, unit: int) -> list[Node] | None:
        """The light nodes on the ways from the unit to the node, if all are element-wise."""
        inside = self.units.members[unit]
        found: dict[Node, None] = {}
        stack = [node]
        while stack:
            current = stack.pop()
            if current in found or self.units.of(current) == unit:
                continue
            own = self.units.of(current)
            if not self.units.before[own] & inside:
                continue
            if self.is_taken(current) or not _in_place(current):
                return None
            found[current] = None
            stack.extend(current.sources)
        return sorted(found, key=self.units.number.__getitem__)

    # -- results --------------------------------------------------------------------------------

    def kernel_units(self) -> list[int]:
        """The units that become kernels."""
        return [*self.anchors, *self.maps]

    def _reads(self, unit: int) -> list[Node]:
        """The stored values and inputs that a unit reads, in a fixed order."""
        return [n for n in self.visited(unit) if self.is_memory(n, unit)]

    def is_memory(self, node: Node, unit: int) -> bool:
        """Whether the unit reads the node from memory instead of working it out."""
        if is_leaf(node):
            return True
        if node.op.name == "reshape":
            return False
        own = self.units.of(node)
        if own == unit:
            return False
        if node in self.rows.fleeting:
            return node in self.required
        return own in self.anchors or node in self.required

    def visited(self, unit: int) -> list[Node]:
        """The nodes that a unit evaluates or reads, each once."""
        fleeting = self.rows.fleeting - self.required  # some may have no use in the unit itself
        stack = [n for n in reversed(self.units.nodes(unit)) if n not in fleeting]
        seen: dict[Node, None] = {}
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen[node] = None
            if not self.is_memory(node, unit):
                stack.extend(reversed(node.sources))
        return list(seen)

    def _finally_stored(self) -> set[Node]:
        stored = set(self.required)
        for unit in self.kernel_units():
            stored.update(n for n in self._reads(unit) if not is_leaf(n))
        return stored

    def contracts(self, unit: int) -> bool:
        """Whether the unit is a product or a convolution."""
        return unit in self.anchors and self.anchors[unit][0].op.name in CONTRACTIONS

    def elements(self, unit: int) -> int:
        """How many elements a unit works on."""
        anchors = self.anchors.get(unit)
        if anchors is None:
            return self.units.nodes(unit)[0].size
        return max((s.size for a in anchors for s in a.sources), default=1)

    def kernels(self) -> list[Kernel]:
        """The units as kernels, each after those whose results it reads."""
        found = []
        for unit in self.kernel_units():
            anchors = tuple(self.anchors.get(unit, ()))
            members = self.units.nodes(unit)
            outputs = tuple(n for n in members if n in self.stored)
            kind, space = kernel_kind(anchors), (*anchors, *members)[0].shape
            extent = self.rows.extents.get(unit)
            if extent is not None and not is_one_reduction(anchors, members, extent):
                kind, space = "rows", tuple(extent)
            found.append(Kernel(kind, anchors, tuple(self._reads(unit)), outputs, space))
        return sorted_kernels(found)


def kernel_kind(anchors: tuple[Node, ...]) -> str:
    """The kind of kernel that these anchors make."""
    if not anchors:
        return "map"
    name = anchors[0].op.name
    if name in REDUCTIONS:
        return "reduce"
    if name in WINDOWS:
        return "window"
    if name in ATTENTION:
        return "attention"
    return "scatter" if name in SCATTERS else name


def sorted_kernels(kernels: Sequence[Kernel]) -> list[Kernel]:
    """The kernels in an order in which each finds its inputs ready."""
    return [kernels[i] for i in in_order(needed(kernels))]


def _sharing_key(node: Node) -> tuple[object, ...] | None:
    name = node.op.name
    if name in ("sum", "max", "prod"):
        return ("reduce", node.sources[0].shape, node.attributes.axes)
    if name in ("pool_max", "pool_index"):
        return ("window", node.sources[0], node.attributes)
    if name in LOOPS:
        return ("loop", node.sources, node.attributes.loop)
    if name in ("attention", "attention_total"):
        return ("attention", node.sources, node.attributes)
    if name == "attention_gradient":
        return ("attention", node.sources, node.attributes.of)
    return None


def _follows(node: Node, size: int) -> bool:
    """Whether a node has one element for each element of its kernel's index space."""
    return node.size == size and (node.op.family == "elementwise" or node.op.name == "reshape")


def _squeezed(node: Node) -> tuple[int, ...]:
    """The shape without axes of extent 1."""
    return tuple(extent for extent in node.shape if extent != 1)


def _in_place(node: Node) -> bool:
    """Whether a node's elements lie over those of its sources, one above the other."""
    if node.op.name == "reshape":
        return _squeezed(node) == _squeezed(node.sources[0])
    return node.op.family == "elementwise"


def _big_sources(node: Node, stored: set[Node]) -> Iterable[Node]:
    """The memory roots that a light expression reads at full size."""
    stack, seen = list(node.sources), set[Node]()
    while stack:
        current = stack.pop()
        if current in seen:
            continue
        seen.add(current)
        if current.size == 1:
            continue
        if is_leaf(current) or current in stored or is_heavy(current):
            yield current
        else:
            stack.extend(current.sources)
