"""The native driver, as LLVM text: runs a program's calls on one thread or on a team of them.

Everything here is plain memory and atomics, so that a whole training step needs no Python and no
task queue. The words of the records (64 bits each unless said otherwise) are named below; the
runtime fills them in.
"""

from __future__ import annotations

import time
from pathlib import Path
from string import Template

from glubina.codegen.target import Target

# A job: what one run has to do. It lies still while threads work on it.
JOB_CALLS = 0  # address of the call records
JOB_TABLE = 1  # address of the table of buffers; its first entry is the status block
JOB_STEPS = 2  # how many times to run all of it (at least 1)
JOB_THREADS = 3  # how many threads it should have
JOB_DEADLINE = 4  # begin no step after this time (monotonic clock, nanoseconds); 0: none
JOB_TICKS = 5  # address of one word per call, to which its nanoseconds are added; 0: none
JOB_FAILED = 6  # the number of the call that raised an error, or -1 (written by the driver)
JOB_PATCHES = 7  # how many table entries to fill in at the start
JOB_SLOTS = 8  # address of (table slot, number in the addresses) pairs
JOB_ADDRESSES = 9  # address of the addresses for them
JOB_ROWS = 10  # address of a table for each thread, where loops move entries; 0: all share one
JOB_ENTRIES = 11  # how many entries the table has
JOB_DONE = 12  # how many steps were completed (written by the driver at the end)
JOB_WORDS = 13

# A call record.
CALL_FUNCTION = 0
CALL_ARGS = 1
CALL_FLAGS = 2
CALL_WORDS = 3
SERIAL = 1  # too small to share: the first thread runs it alone
BARRIER = 2  # all wait for each other after it
LAST = 4  # the last of the step
TURN = 8  # no function, but the beginning or the end of a loop's step

# The arguments of a turn: the table entry that counts the steps, how many steps there are (0: the
# loop begins), the call to go on with if there is another, how many entries move, and for each the
# entry, the entry that it becomes, and bytes to add.
TURN_COUNTER = 0
TURN_STEPS = 1
TURN_TARGET = 2
TURN_MOVES = 3
TURN_FIRST = 4

# A team, in bytes. What different threads write lies in different cache lines.
TEAM_EPOCH = 0  # changes with every job; its low 16 bits are the threads wanted, STOP to end
TEAM_ARRIVED = 64  # threads that reached the current barrier
TEAM_PHASE = 128  # changes at every barrier; its low 2 bits tell whether to stop the job, and why
TEAM_JOB = 192  # address of the job
TEAM_BUSY = 256  # 1 while a job runs
TEAM_SLEEPERS = 320  # threads that wait through the operating system
TEAM_MUTEX = 384
TEAM_CONDITION = 448
TEAM_SPIN = 512  # nanoseconds that a thread without work waits awake
TEAM_PAUSES = 520  # pauses in a barrier before it begins to yield to the system
TEAM_ADAPTS = 528  # 0: use the team even where the machine is too busy for it
TEAM_SIZE = 536  # how many threads it has, with the caller
TEAM_WAITED = 576  # nanoseconds that the first thread waited for long in the current job's barriers
TEAM_UNTIL = 584  # before this time (0: none) jobs run alone, because helpers were no help
TEAM_STREAK = 592  # how many more jobs they were none than they were one, of late
TEAM_BYTES = 640
STOP = 0xFFFF
MAX_THREADS = STOP - 1

_X86 = {
    "PAUSE": "call void @llvm.x86.sse2.pause()",
    "FLUSH": """\
  %cell = alloca i32
  call void @llvm.x86.sse.stmxcsr(ptr %cell)
  %old = load i32, ptr %cell
  %new = or i32 %old, 32832 ; flush to zero (bit 15), denormals are zero (bit 6)
  store i32 %new, ptr %cell
  call void @llvm.x86.sse.ldmxcsr(ptr %cell)
  %saved = zext i32 %old to i64
  ret i64 %saved""",
    "RESTORE": """\
  %cell = alloca i32
  %old = trunc i64 %saved to i32
  store i32 %old, ptr %cell
  call void @llvm.x86.sse.ldmxcsr(ptr %cell)
  ret void""",
    "DECLARATIONS": """\
declare void @llvm.x86.sse2.pause()
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)""",
}
_ARM = {
    "PAUSE": "call void @llvm.aarch64.hint(i32 1)",
    "FLUSH": """\
  %saved = call i64 @llvm.aarch64.get.fpcr()
  %new = or i64 %saved, 16777216 ; flush to zero (bit 24)
  call void @llvm.aarch64.set.fpcr(i64 %new)
  ret i64 %saved""",
    "RESTORE": """\
  call void @llvm.aarch64.set.fpcr(i64 %saved)
  ret void""",
    "DECLARATIONS": """\
declare void @llvm.aarch64.hint(i32)
declare i64 @llvm.aarch64.get.fpcr()
declare void @llvm.aarch64.set.fpcr(i64)""",
}
_OTHER = {"PAUSE": "", "FLUSH": "  ret i64 0", "RESTORE": "  ret void", "DECLARATIONS": ""}


def driver_ir(target: Target) -> str:
    """The driver's LLVM module for a target.

    It defines `glubina_run(job, team) -> status code`, `glubina_work(team, index)`,
    `glubina_team_begin(team)` and `glubina_team_end(team) -> whether it ended`.
    """
    arch = target.triple.split("-")[0]
    if arch in ("x86_64", "amd64"):
        parts = _X86
    elif arch in ("aarch64", "arm64"):
        parts = _ARM
    else:
        parts = _OTHER
    layout = {k: v for k, v in globals().items() if isinstance(v, int) and k.isupper()}
    text = Path(__file__).with_name("driver.ll").read_text(encoding="utf-8")
    return Template(text).substitute(layout, CLOCK=time.CLOCK_MONOTONIC, **parts)
