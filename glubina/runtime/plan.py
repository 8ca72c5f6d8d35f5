"""A program as plain data: its table of buffers and its calls, which can be kept on disk."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, cast, get_args

import numpy as np

from glubina.codegen import driver
from glubina.codegen.target import SCALARS

Place = Literal["status", "input", "output", "arena", "loop"]
STATUS_SLOT = 0  # the table's first entry: where kernels report errors
STATUS_WORDS = 4  # code (0 = fine), kernel, index, value


class PlanError(ValueError):
    """A plan that contradicts itself, or a text that is none."""


@dataclass(frozen=True)
class Spec:
    """The shape of an array, and its dtype's name."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def nbytes(self) -> int:
        """How many bytes the array takes."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Entry:
    """Where a slot of the table points: the status block, an argument, or into the arena.

    `value` is the number of the input or output, or the byte offset in the arena. A slot of a
    "loop" is set and moved by the loop's turns; each thread has its own.
    """

    place: Place
    value: int = 0


@dataclass(frozen=True)
class Call:
    """One native function to call: `args` are table slots, then the extents that it takes.

    `kernel` is the number of the kernel that it belongs to, `label` names it in reports.
    A call without a symbol is a `turn` of a loop; see `glubina.codegen.driver` for its args.
    """

    symbol: str
    args: tuple[int, ...]
    label: str = ""
    kernel: int = -1

    @property
    def turn(self) -> bool:
        """Whether this is no function, but the beginning of a loop or the end of its step."""
        return not self.symbol


@dataclass(frozen=True)
class KernelInfo:
    """What one kernel does, for reports and for deciding how many threads it deserves.

    The numbers are those of one time; `times` is how often it runs in a step (in a loop: once per
    step of that).
    """

    label: str
    flops: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    times: int = 1


@dataclass(frozen=True)
class Plan:
    """Everything about a program but its machine code.

    `donated` has for each output the number of the input whose buffer it may overwrite, or -1.
    """

    inputs: tuple[Spec, ...]
    outputs: tuple[Spec, ...]
    donated: tuple[int, ...]
    table: tuple[Entry, ...]
    arena_bytes: int
    calls: tuple[Call, ...]
    kernels: tuple[KernelInfo, ...] = ()

    def validate(self) -> Plan:
        """The plan itself; raises PlanError if it contradicts itself."""
        for check in (_check_specs, _check_table, _check_donated, _check_calls):
            check(self)
        return self

    def to_json(self) -> str:
        """The plan as JSON text; `Plan.from_json` reads it."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @staticmethod
    def from_json(text: str | bytes) -> Plan:
        """The plan in a JSON text; raises PlanError if the text is damaged."""
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise PlanError(f"a program's plan is not JSON: {error}") from error
        return _read_plan(data).validate()


# -- checks ---------------------------------------------------------------------------------------


def _require(condition: bool, text: str) -> None:
    if not condition:
        raise PlanError(f"a program's plan is inconsistent: {text}")


def _check_specs(plan: Plan) -> None:
    for name, specs in (("input", plan.inputs), ("output", plan.outputs)):
        for number, spec in enumerate(specs):
            where = f"{name} {number}"
            _require(all(n >= 0 for n in spec.shape), f"{where} has the shape {spec.shape}")
            _require(spec.dtype in SCALARS, f"{where} has the dtype {spec.dtype!r}")


def _check_table(plan: Plan) -> None:
    limits = {"status": 1, "input": len(plan.inputs), "output": len(plan.outputs)}
    limits["loop"] = 1
    limits["arena"] = plan.arena_bytes + 1  # an array without elements may lie at the very end
    for slot, entry in enumerate(plan.table):
        limit = limits.get(entry.place, 0)
        inside = 0 <= entry.value < limit
        _require(inside, f"slot {slot} is {entry.place} {entry.value}, of {limit}")
    _require(plan.arena_bytes >= 0, f"an arena of {plan.arena_bytes} bytes")
    first = plan.table[STATUS_SLOT].place if plan.table else "missing"
    _require(first == "status", f"slot {STATUS_SLOT} must be the status block, it is {first}")


def _check_donated(plan: Plan) -> None:
    count = len(plan.donated)
    _require(
        count == len(plan.outputs), f"donated has {count} items for its {len(plan.outputs)} outputs"
    )
    given = [number for number in plan.donated if number != -1]
    for number in given:
        _require(0 <= number < len(plan.inputs), f"input {number} is donated but does not exist")
    _require(len(set(given)) == len(given), f"an input is donated twice: {plan.donated}")


def _check_calls(plan: Plan) -> None:
    for number, call in enumerate(plan.calls):
        if call.turn:
            _check_turn(plan, number)
        known = -1 <= call.kernel < max(len(plan.kernels), 1)
        _require(known, f"call {number} is of kernel {call.kernel}, of {len(plan.kernels)}")


def _check_turn(plan: Plan, number: int) -> None:
    """The beginning or end of a loop's step: it moves entries that are there, and goes back."""
    args, head = plan.calls[number].args, driver.TURN_FIRST
    whole = len(args) >= head and len(args) == head + 3 * args[driver.TURN_MOVES]
    _require(whole, f"call {number} names no function, and is no turn of a loop")
    moved = [args[driver.TURN_COUNTER], *args[head::3]]
    for slot in (*moved, *args[head + 1 :: 3]):
        _require(0 <= slot < len(plan.table), f"call {number} moves slot {slot}")
    for slot in moved:
        _require(plan.table[slot].place == "loop", f"call {number} moves slot {slot} of no loop")
    steps, target = args[driver.TURN_STEPS], args[driver.TURN_TARGET]
    _require(
        steps == 0 or (steps > 0 and 0 <= target <= number),
        f"call {number} goes back to call {target}, {steps} times",
    )


# -- reading --------------------------------------------------------------------------------------


_NAMES = {kind: [f.name for f in fields(kind)] for kind in (Plan, Spec, Entry, Call, KernelInfo)}


def _read_plan(data: object) -> Plan:
    record = _record(data, Plan, "plan")
    return Plan(
        inputs=_specs(record["inputs"], "inputs"),
        outputs=_specs(record["outputs"], "outputs"),
        donated=_integers(record["donated"], "donated"),
        table=tuple(
            _entry(e, f"table[{k}]") for k, e in enumerate(_list(record["table"], "table"))
        ),
        arena_bytes=_integer(record["arena_bytes"], "arena_bytes"),
        calls=tuple(_call(c, f"calls[{k}]") for k, c in enumerate(_list(record["calls"], "calls"))),
        kernels=tuple(
            _kernel(i, f"kernels[{k}]") for k, i in enumerate(_list(record["kernels"], "kernels"))
        ),
    )


def _specs(data: object, where: str) -> tuple[Spec, ...]:
    result = []
    for number, item in enumerate(_list(data, where)):
        record = _record(item, Spec, f"{where}[{number}]")
        shape = _integers(record["shape"], f"{where}[{number}].shape")
        result.append(Spec(shape, _text(record["dtype"], f"{where}[{number}].dtype")))
    return tuple(result)


def _entry(data: object, where: str) -> Entry:
    record = _record(data, Entry, where)
    place = _text(record["place"], f"{where}.place")
    if place not in get_args(Place):
        raise _damaged(f"{where}.place", f"one of {', '.join(get_args(Place))}", place)
    return Entry(cast(Place, place), _integer(record["value"], f"{where}.value"))


def _call(data: object, where: str) -> Call:
    record = _record(data, Call, where)
    return Call(
        _text(record["symbol"], f"{where}.symbol"),
        _integers(record["args"], f"{where}.args"),
        _text(record["label"], f"{where}.label"),
        _integer(record["kernel"], f"{where}.kernel"),
    )


def _kernel(data: object, where: str) -> KernelInfo:
    record = _record(data, KernelInfo, where)
    _, *names = _NAMES[KernelInfo]
    numbers = [_integer(record[name], f"{where}.{name}") for name in names]
    return KernelInfo(_text(record["label"], f"{where}.label"), *numbers)


def _damaged(where: str, expected: str, got: object) -> PlanError:
    return PlanError(
        f"a program's plan is damaged: {where} should be {expected}, it is {got!r:.60}"
    )


def _record(data: object, kind: type[Any], where: str) -> Mapping[str, object]:
    names = _NAMES[kind]
    if not isinstance(data, dict) or data.keys() != set(names):
        raise _damaged(where, f"a record of {', '.join(sorted(names))}", data)
    return data


def _list(data: object, where: str) -> Sequence[object]:
    if not isinstance(data, list):
        raise _damaged(where, "a list", data)
    return data


def _text(data: object, where: str) -> str:
    if not isinstance(data, str):
        raise _damaged(where, "a text", data)
    return data


def _integer(data: object, where: str) -> int:
    if not isinstance(data, int) or isinstance(data, bool):
        raise _damaged(where, "an integer", data)
    return data


def _integers(data: object, where: str) -> tuple[int, ...]:
    items = _list(data, where)
    if all(type(item) is int for item in items):
        return tuple(items)  # type: ignore[arg-type]
    return tuple(_integer(item, f"{where}[{k}]") for k, item in enumerate(items))
