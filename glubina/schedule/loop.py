"""The inside of a loop's kernel: a schedule of its body, which is run once per step."""

from __future__ import annotations

from dataclasses import dataclass

from glubina.graph.node import Node
from glubina.graph.ops.scan import Loop, inside, parameters_of, replaced
from glubina.graph.ops.source import input
from glubina.schedule.kernel import Kernel
from glubina.schedule.plan import Schedule, schedule


@dataclass(frozen=True)
class Body:
    """A loop's body, cut into kernels.

    sources: the loop's, in the outer graph. inputs: what stands for each of them in the body.
    schedule: its results are the states' next values, then what is only stacked.
    finals: per final state that is wanted, its number and the loop's node.
    stacked: per stacked result, its number among the schedule's results and the loop's node.
    """

    loop: Loop
    sources: tuple[Node, ...]
    inputs: tuple[Node, ...]
    schedule: Schedule
    finals: tuple[tuple[int, Node], ...]
    stacked: tuple[tuple[int, Node], ...]


def body(kernel: Kernel) -> Body:
    """Cut the body of a loop's kernel into kernels."""
    anchors = kernel.anchors
    loop: Loop = anchors[0].attributes.loop
    sources = anchors[0].sources
    finals, outputs, stacked = [], list(loop.nexts), []
    for anchor in anchors:
        which = anchor.attributes.result
        if not isinstance(which, Node):
            finals.append((which, anchor))
            continue
        if which not in outputs:
            outputs.append(which)
        stacked.append((outputs.index(which), anchor))
    inputs = [input(*inside(source, i, loop)) for i, source in enumerate(sources)]
    table = {p: inputs[p.attributes.number] for p in parameters_of(outputs)}
    found = schedule(replaced(outputs, table), inputs, [-1] * len(outputs))
    return Body(loop, sources, tuple(inputs), found, tuple(finals), tuple(stacked))
