"""Builds programs: graph -> kernels -> machine code -> plan, each found in the cache if it can be.

The key of a whole program is its canonical text: what operations on what, in numbers instead of
names. Shapes and dtypes are in it, values and identities are not.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from glubina.codegen.target import Target, host
from glubina.graph.autodiff import expand
from glubina.graph.loops import lifted
from glubina.graph.node import Node, topological
from glubina.graph.simplify import simplify
from glubina.graph.techniques import left_out
from glubina.graph.verify import verify
from glubina.runtime import cache, compiler, observers, team
from glubina.runtime.apart import apart
from glubina.runtime.blocks import Block, lower_all
from glubina.runtime.layout import Laid, lay_plan
from glubina.runtime.loader import LoadError
from glubina.runtime.observers import CompileEvent
from glubina.runtime.plan import Plan
from glubina.runtime.program import Program
from glubina.schedule.plan import Schedule, schedule

VERSION = "1"

_log = logging.getLogger(__name__)


def build(
    outputs: Sequence[Node],
    inputs: Sequence[Node],
    donated: Sequence[int],
    check: Callable[[Plan], None] | None = None,
) -> Program:
    """The program that computes the outputs from the inputs.

    outputs: may contain `gradient` placeholders and `detach` markers.
    inputs: every input node that the outputs depend on, in the order in which the program takes
        their buffers.
    donated: for each output the number of the input whose buffer it may overwrite, or -1.
    check: called with the plan before anything is compiled; may raise.
    """
    target, started = apart(host), time.perf_counter()
    key = program_key(outputs, inputs, donated, target)
    watched = bool(observers.schedules)  # who wants to see the kernels is shown them made
    found = None if watched else cache.load_program(key)
    if found is not None and check is not None:
        check(found[0])
    program = None if found is None else _loaded(*found)
    cached = program is not None
    if found is None or program is None:
        driver = threading.Thread(target=team.native_driver, daemon=True)
        driver.start()  # where it is new too, the other core compiles it meanwhile
        made = translate(outputs, inputs, donated, target)
        driver.join()
        if check is not None:
            check(made.laid.plan)
        found = made.laid.plan, compiler.compile_kernels(made.modules, target)
        program = Program(*found)
        cache.store_program(key, *found)
    if observers.compilations:
        seconds = time.perf_counter() - started
        observers.compilations.send(CompileEvent(found[0], seconds, cached, len(found[1])))
    return program


def _loaded(plan: Plan, code: bytes) -> Program | None:
    """A program from the cache, or None if it cannot be linked here: then it is made again."""
    try:
        return Program(plan, code)
    except LoadError as error:
        _log.debug("a program from the cache is made again: %s", error)
        return None


def program_key(
    outputs: Sequence[Node], inputs: Sequence[Node], donated: Sequence[int], target: Target
) -> str:
    """A hash of the canonical text of a program."""
    numbers = {node: i for i, node in enumerate(inputs)}
    lines = [f"{VERSION} {target} {tuple(donated)} {sorted(left_out())}"]
    lines += [f"input {node.dtype.name} {node.shape}" for node in inputs]
    for node in topological([*inputs, *outputs]):
        if node in numbers:
            continue
        numbers[node] = len(numbers)
        sources = [numbers[s] for s in node.sources]
        lines.append(f"{node.op.name} {node.attributes!r} {sources}")
    lines.append(f"outputs {[numbers[o] for o in outputs]}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@dataclass(frozen=True)
class Translation:
    """A graph on its way to machine code, stage by stage.

    outputs: of the graph with derivatives worked out, simplified. schedule: its kernels. block:
    the kernels as native code. laid: the plan, with each of its kernels and the arena.
    """

    outputs: Sequence[Node]
    schedule: Schedule
    block: Block
    laid: Laid

    @property
    def modules(self) -> dict[str, Callable[[], str]]:
        """What makes the LLVM text of each kernel, by the kernel's key."""
        return {k: ir for lowering in self.block.lowerings() for k, ir in lowering.modules.items()}


def translate(
    outputs: Sequence[Node], inputs: Sequence[Node], donated: Sequence[int], target: Target
) -> Translation:
    """Go from the graph to a plan and the text of its kernels."""
    from glubina.codegen.lowering import lower  # not needed, and not loaded, on a warm start

    plain = simplify(_checked(expand(_checked(outputs))))
    simple = _checked(simplify(lifted(plain, simplify)))
    scheduled = schedule(simple, inputs, donated)
    _checked([output for kernel in scheduled.kernels for output in kernel.outputs])
    observers.scheduled(simple, scheduled)
    block = lower_all(scheduled, target, lower)
    return Translation(simple, scheduled, block, lay_plan(block, outputs))


def _checked(nodes: Sequence[Node]) -> Sequence[Node]:
    """The nodes themselves; with GLUBINA_VERIFY set (as in the tests) their graph is verified."""
    if os.environ.get("GLUBINA_VERIFY"):
        verify(nodes)
    return nodes
