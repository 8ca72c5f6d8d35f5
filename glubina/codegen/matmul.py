"""The matrix product: which functions it is made of, and register blocks over packed panels.

    C[b, m, n] = Σ_k A[b, m, k] B[b, k, n]

A block of rows x vectors of C stays in registers while k passes; B's rows are loaded as vectors,
A's elements are broadcast. A factor that is read often is first packed into panels, contiguous
memory in the order of reading, whatever its strides were; one that is read once or twice is read
where it lies. Strips (`matmul_strips.py`) pack as they go; a few rows times a B whose k axis is
contiguous are dot products (`matmul_dots.py`). Each output is summed in the order of k (in a
number of parts that depends on the shape alone), so results do not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from glubina.codegen.blocks import alloca, multiply_add_block
from glubina.codegen.emitter import Function
from glubina.codegen.epilogue import Epilogue
from glubina.codegen.frame import Frame
from glubina.codegen.lowered import Stage
from glubina.codegen.matmul_dots import dots
from glubina.codegen.matmul_pieces import pieces
from glubina.codegen.matmul_plan import MatmulPlan, MatmulShape, numbers
from glubina.codegen.matmul_strips import strips
from glubina.codegen.packing import Source, pack
from glubina.codegen.product import Product, fetch_rows, finish_rows, lefts_of, rights_of
from glubina.codegen.values import Value, vector

WORKSPACES = 2  # the panels; the partial sums

Finish = Callable[[Frame], Epilogue]


def stages(
    plan: MatmulPlan, shape: MatmulShape, key: str, own: int, scalars: tuple[int, ...]
) -> tuple[Stage, ...]:
    """The calls: packing, the product, the sum of its parts, as far as there are any.

    own: how many inputs and outputs the kernel has; a stage's buffers are these, the two factors
    and the two workspaces. scalars: the epilogue's numbers.
    """
    buffers = (*range(own), shape.a.buffer, shape.b.buffer, -1, -2)
    given = (*numbers(plan, shape), *scalars)
    factors = ((_packs_a(plan), shape.a.buffer), (_packs_b(plan), shape.b.buffer))
    packed = tuple(buffer for packs, buffer in factors if packs)
    return tuple(
        Stage(f"{name}_{key}", buffers, given, packed if name == "pack" else None)
        for name in _names(plan)
    )


def functions(plan: MatmulPlan, key: str, own: int, epilogue: Finish) -> list[Function]:
    """The native functions of the stages; the epilogue's index is (batch, m, n)."""
    write = {"pack": _pack, "matmul": _matmul, "combine": _combine}
    return [write[name](Product(f"{name}_{key}", plan, own), epilogue) for name in _names(plan)]


def _names(plan: MatmulPlan) -> list[str]:
    names = ["pack"] if _packs_a(plan) or _packs_b(plan) else []
    return [*names, "matmul", *(["combine"] if plan.parts else [])]


def _packs_a(plan: MatmulPlan) -> bool:
    return plan.a == "panels" and plan.way != "pieces"


def _packs_b(plan: MatmulPlan) -> bool:
    return plan.b == "panels" and plan.way != "strips"


def _pack(p: Product, epilogue: Finish) -> Function:
    """Every thread packs its share of A's panels and of B's."""
    plan, (ab, am, ak), (bb, bk, bn) = p.plan, p.a_steps, p.b_steps
    if _packs_a(plan):
        left = Source(p.a, p.batch, p.m, p.k, ab, am, ak)
        pack(p.frame, p.kind, plan.lanes, plan.a_panels, left, p.a_panels)
    if _packs_b(plan):
        right = Source(p.b, p.batch, p.n, p.k, bb, bn, bk)
        pack(p.frame, p.kind, plan.lanes, plan.b_panels, right, p.b_panels)
    return p.frame.finish()


def _matmul(p: Product, epilogue: Finish) -> Function:
    if p.plan.way == "strips":
        return strips(p, epilogue(p.frame))
    if p.plan.way == "pieces":
        return pieces(p, epilogue(p.frame))
    if p.plan.way == "dots":
        return dots(p, epilogue(p.frame))
    return _blocks(p, epilogue)


# -- register blocks ----------------------------------------------------------------------------


def _blocks(p: Product, epilogue: Finish) -> Function:
    """Each item is a block of C, or one part of its sum."""
    f, plan, frame = p.f, p.plan, p.frame
    size = plan.rows * plan.vectors
    scratch = None if plan.parts else alloca(f, p.type, size)
    finish = None if plan.parts else epilogue(frame)
    if finish:
        finish.prepare(f)
    blocks = f.mul(p.batch, f.mul(p.down, p.across))
    start, stop = frame.share(f.mul(blocks, p.parts), 1)
    with f.loop(start, stop, f.i64(1)) as item:
        part, block = f.i64(0), item.index
        if plan.parts:
            part, block = f.binary("udiv", block, blocks), f.binary("urem", block, blocks)
        batch, i, j = _place(p, block)
        row, column = f.mul(i, f.i64(plan.rows)), f.mul(j, f.i64(plan.columns))
        first = f.mul(part, p.per)
        depth = f.minimum(p.per, f.sub(p.k, first))
        lefts, left_step = lefts_of(p, batch, i, row, first)
        rights, right_step, masks = rights_of(p, batch, j, column, first)
        if finish and plan.ahead:
            fetch_rows(p, finish, batch, row, column)
        sums = [f.const(0, p.type)] * size
        if plan.b == "strided":
            sums = _gathered_block(p, depth, sums, lefts, rights, left_step, right_step, masks)
        else:
            sums = multiply_add_block(f, depth, sums, lefts, rights, left_step, right_step, masks)
        target = scratch or p.at(p.sums, f.mul(item.index, f.i64(size * plan.lanes)))
        for spot, value in enumerate(sums):
            f.store(value, p.at(target, f.i64(spot * plan.lanes)))
        if finish:
            finish_rows(p, finish, target, batch, row, column)
    return frame.finish()


def _place(p: Product, block: Value) -> tuple[Value, Value, Value]:
    """The batch, the panel of rows and the panel of columns of a block.

    Threads take stretches of this order: strips of columns, or of rows. A few panels of the strip
    run together: all of them with one panel of the other factor, then with the next.
    """
    f = p.f
    along, around = (p.down, p.across) if p.plan.by_rows else (p.across, p.down)
    each = f.mul(p.down, p.across)
    batch, block = f.binary("udiv", block, each), f.binary("urem", block, each)
    group = f.mul(around, p.together)
    first = f.mul(f.binary("udiv", block, group), p.together)
    block, width = f.binary("urem", block, group), f.minimum(p.together, f.sub(along, first))
    other = f.binary("udiv", block, width)
    place = f.add(first, f.binary("urem", block, width))
    return (batch, place, other) if p.plan.by_rows else (batch, other, place)


def _gathered_block(
    p: Product, depth: Value, sums: Sequence[Value], lefts: Sequence[Value],
    rights: Sequence[Value], left_step: Value, right_step: Value, masks: Sequence[Value] | None,
) -> list[Value]:  # fmt: skip
    """The block where the lanes of a vector of B lie apart."""
    f, lanes = p.f, p.plan.lanes
    if lanes == 1:
        return multiply_add_block(f, depth, sums, lefts, rights, left_step, right_step, None)
    offsets = f.binary("mul", f.lane_numbers(lanes), f.splat(p.b_steps[2], lanes))
    every = f.const(True, vector("i1", lanes))
    with f.loop(f.i64(0), depth, f.i64(1), sums) as loop:
        here, there = f.mul(loop.index, left_step), f.mul(loop.index, right_step)
        columns = []
        for v, base in enumerate(rights):
            text = f"getelementptr inbounds {p.kind}, {p.at(base, there)}, {offsets}"
            pointers = f.emit(vector("ptr", lanes), text)
            columns.append(f.gather(pointers, p.type, masks[v] if masks else every))
        following = []
        for r, base in enumerate(lefts):
            a = f.splat(f.load(p.at(base, here), p.kind), lanes)
            for v, b in enumerate(columns):
                following.append(f.fma(a, b, loop.values[r * len(columns) + v]))
        loop.carry(following)
    return loop.results


def _combine(p: Product, epilogue: Finish) -> Function:
    """Add the parts of every block in order, row by row."""
    f, plan, frame = p.f, p.plan, p.frame
    finish = epilogue(frame)
    finish.prepare(f)
    size = f.i64(plan.rows * plan.columns)
    blocks = f.mul(p.batch, f.mul(p.down, p.across))
    apart = f.mul(blocks, size)
    start, stop = frame.share(f.mul(f.mul(p.batch, p.across), p.m), 1)
    with f.loop(start, stop, f.i64(1)) as item:
        line, rest = f.binary("urem", item.index, p.m), f.binary("udiv", item.index, p.m)
        j, batch = f.binary("urem", rest, p.across), f.binary("udiv", rest, p.across)
        i, r = (f.binary(how, line, f.i64(plan.rows)) for how in ("udiv", "urem"))
        block = f.add(f.mul(rest, p.down), i)
        base = p.at(p.sums, f.mul(block, size), f.mul(r, f.i64(plan.columns)))
        column = f.mul(j, f.i64(plan.columns))
        for v in range(plan.vectors):
            place = p.at(base, f.i64(v * plan.lanes))
            with f.loop(f.i64(1), p.parts, f.i64(1), [f.load(place, p.type)]) as part:
                value = f.load(p.at(place, f.mul(part.index, apart)), p.type)
                part.carry([f.fadd(part.values[0], value)])
            index = batch, line, f.add(column, f.i64(v * plan.lanes))
            finish.store(f, index, part.results[0], p.mask(column, v))
    return frame.finish()
