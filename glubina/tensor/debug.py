"""The debug ladder: what a program is made of, stage by stage, and how long its kernels take."""

from __future__ import annotations

import atexit
import os
import sys
import weakref
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from glubina.graph.node import Node, topological
from glubina.graph.ops.scan import body_of
from glubina.tensor import programs

if TYPE_CHECKING:
    from glubina.runtime.observers import RunEvent, ScheduleEvent
    from glubina.runtime.plan import Plan
    from glubina.schedule.plan import Schedule

LADDER = ("graph", "kernels", "plan", "ir", "asm", "times")


class debug:
    """Context manager that shows how what runs inside it is computed.

    what: steps of the ladder by name, or a number for the first so many of them: "graph" (the
        operations), "kernels" (how they are fused), "plan" (calls and memory), "ir" (LLVM's
        language), "asm" (machine code), "times" (of each kernel, in a table at the end).
    file: where to write; standard error if not given.

    Each program is shown when it first runs inside the block. The environment variable
    GLUBINA_DEBUG (such as `kernels,times` or `2`) does the same for a whole process; `trace` in it
    shows the library's lines in the tracebacks of errors, which are left out otherwise.

    >>> with gl.debug("kernels", "times"):
    ...     loss.item()
    """

    programs_compiled = staticmethod(programs.programs_compiled)

    def __init__(self, *what: str | int, file: TextIO | None = None) -> None:
        names: set[str] = set()
        for item in what or ("kernels",):
            if isinstance(item, int):
                names.update(LADDER[:item])
            elif item in LADDER:
                names.add(item)
            else:
                raise ValueError(f"debug: {item!r} is none of {', '.join(LADDER)}, nor a number")
        self._names = names
        self._file = file
        self._shown: weakref.WeakSet[programs.Compiled] = weakref.WeakSet()
        self._times: dict[int, tuple[Plan, int, list[int]]] = {}
        self._end: Callable[[], None] | None = None

    def __enter__(self) -> debug:
        programs.watchers.append(self._show)
        if "times" in self._names:
            from glubina.runtime import observers

            self._end = observers.runs.subscribe(self._add_times)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        programs.watchers.remove(self._show)
        if self._end is not None:
            self._end()
            self._end = None
            for plan, steps, times in self._times.values():
                self._write(times_text(plan, steps, times))
            self._times.clear()

    def _write(self, text: str) -> None:
        print(text, file=self._file or sys.stderr)

    def _show(self, compiled: programs.Compiled) -> None:
        if compiled in self._shown:
            return
        self._shown.add(compiled)
        outputs, inputs, replaces = compiled.graph
        if compiled.plan is None:
            self._write("runs in the interpreter, node by node:\n" + graph_text(outputs))
            return
        if not self._names & {"graph", "kernels", "ir", "asm"}:
            if "plan" in self._names:
                self._write(plan_text(compiled.plan))
            return
        event, modules = _translated(outputs, inputs, replaces)
        if "graph" in self._names:
            self._write(graph_text(event.outputs))
        if "kernels" in self._names:
            self._write(kernels_text(event.schedule))
        if "plan" in self._names:
            self._write(plan_text(compiled.plan))
        for make in modules.values():
            if "ir" in self._names:
                self._write(make())
            if "asm" in self._names:
                from glubina.codegen.target import host
                from glubina.runtime.compiler import assembly

                self._write(assembly(make(), host()))

    def _add_times(self, event: RunEvent) -> None:
        plan, steps, times = self._times.get(id(event.plan), (event.plan, 0, []))
        times = [a + b for a, b in zip(times or [0] * len(event.times), event.times, strict=True)]
        self._times[id(event.plan)] = plan, steps + event.steps, times


def _translated(outputs: Any, inputs: Any, replaces: Any) -> tuple[ScheduleEvent, dict[str, Any]]:
    """The stages between graph and machine code, gone through once more."""
    from glubina.codegen.target import host
    from glubina.runtime import build, observers

    events: list[ScheduleEvent] = []
    with observers.schedules.watching(events.append):
        modules = build.translate(outputs, inputs, replaces, host()).modules
    return events[0], modules


# -- texts ----------------------------------------------------------------------------------------


def _form(node: Node) -> str:
    return f"{node.dtype.name}[{', '.join(map(str, node.shape))}]"


def _attributes(node: Node) -> str:
    if node.op.name in ("input", "constant") or not node.attributes:
        return ""
    items = node.attributes._asdict() if hasattr(node.attributes, "_asdict") else {}
    return " {" + ", ".join(f"{k}={v}" for k, v in items.items()) + "}" if items else ""


def graph_text(outputs: Sequence[Node]) -> str:
    """One line per operation: `%3 = add(%1, %2) : float32[2, 3]`."""
    return "\n".join(["graph", *_graph_lines(outputs, "  ", "return")])


def _graph_lines(outputs: Sequence[Node], margin: str, end: str) -> list[str]:
    numbers: dict[Node, int] = {}
    lines = []
    for node in topological(outputs):
        number = numbers[node] = len(numbers)
        head = f"{margin}%{number} = "
        if node.op.name == "constant":
            value = node.op.numpy(node.attributes).item()
            lines.append(f"{head}{value} : {_form(node)}")
            continue
        sources = ", ".join(f"%{numbers[s]}" for s in node.sources)
        name = f"{node.op.name}({sources})" if node.sources else node.op.name
        if node.op.name == "scan":
            loop, which = node.attributes
            kind = "stacked" if isinstance(which, Node) else f"final state {which}"
            way = " in reverse" if loop.reverse else ""
            lines.append(f"{head}{name} {{{loop.steps} steps{way}, {kind}}} : {_form(node)}")
            lines += _graph_lines(body_of(node), margin + "    ", "next")
            continue
        lines.append(f"{head}{name}{_attributes(node)} : {_form(node)}")
    return [*lines, f"{margin}{end} " + ", ".join(f"%{numbers[o]}" for o in outputs)]


def kernels_text(schedule: Schedule) -> str:
    """One line per kernel: what it reads and writes; those of a loop's body below it."""
    return "\n".join([f"kernels: {len(schedule.kernels)}", *_kernel_lines(schedule, "  ")])


def _kernel_lines(schedule: Schedule, margin: str) -> list[str]:
    from glubina.schedule.loop import body
    from glubina.schedule.plan import labels

    lines = []
    for name, kernel in zip(labels(schedule.kernels), schedule.kernels, strict=True):
        reads = ", ".join(map(_form, kernel.inputs)) or "nothing"
        writes = ", ".join(map(_form, kernel.outputs))
        lines.append(f"{margin}{kernel.kind:12} {name}\n{margin}{'':13}{reads} -> {writes}")
        if kernel.kind == "scan":
            lines += _kernel_lines(body(kernel).schedule, margin + "    ")
    return lines


def plan_text(plan: Plan) -> str:
    """The program's memory and its calls."""
    taken = sum(number >= 0 for number in plan.donated)
    lines = [
        f"plan: {len(plan.inputs)} inputs, {len(plan.outputs)} outputs ({taken} in place), "
        f"{plan.arena_bytes:,} bytes of working memory, {len(plan.calls)} calls"
    ]
    for call in plan.calls:
        label = plan.kernels[call.kernel].label if call.kernel >= 0 else call.label
        lines.append(f"  {call.symbol or 'turn'}  {label}")
    return "\n".join(lines)


def times_text(plan: Plan, steps: int, times: Sequence[int]) -> str:
    """A table of the kernels: time per step, share, and the rates of arithmetic and memory."""
    spent = [0] * len(plan.kernels)
    for call, nanoseconds in zip(plan.calls, times, strict=True):
        if call.kernel >= 0:
            spent[call.kernel] += nanoseconds
    total = sum(spent) or 1
    lines = [
        f"times over {steps} runs: {total / steps / 1000:.1f} µs each",
        f"  {'µs':>9} {'share':>6} {'GFLOP/s':>8} {'GB/s':>6}  kernel",
    ]
    for nanoseconds, kernel in sorted(
        zip(spent, plan.kernels, strict=True), key=lambda pair: -pair[0]
    ):
        each = max(nanoseconds / steps, 1e-9)
        spent_each = f"{each / 1000:9.1f} {nanoseconds / total:6.1%}"
        each /= kernel.times
        moved = (kernel.bytes_read + kernel.bytes_written) / each
        lines.append(f"  {spent_each} {kernel.flops / each:8.1f} {moved:6.1f}  {kernel.label}")
    return "\n".join(lines)


def follow_environment() -> None:
    """Do what GLUBINA_DEBUG asks for, until the process ends."""
    asked = os.environ.get("GLUBINA_DEBUG", "")
    words = [w.strip() for w in asked.split(",") if w.strip() not in ("", "trace")]
    if words:
        block = debug(*[int(w) if w.isdigit() else w for w in words])
        block.__enter__()
        atexit.register(block.__exit__, None, None, None)
