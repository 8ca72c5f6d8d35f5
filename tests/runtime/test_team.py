"""The thread team: how many threads, what they do when idle, after a fork and at the end."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from native_kernels import adder, buffers, lopsided_program, pipeline, pipeline_reference

from glubina.runtime import limits, team
from glubina.runtime.buffer import Buffer
from glubina.runtime.limits import default_threads
from glubina.runtime.team import TEAM, get_num_threads, set_num_threads

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(autouse=True)
def _default_threads() -> Iterator[None]:
    yield
    set_num_threads(None)


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own, which must end within a minute."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_number_of_threads() -> None:
    set_num_threads(3)
    assert get_num_threads() == 3
    set_num_threads(None)
    assert 1 <= get_num_threads() <= (os.cpu_count() or 1)
    with pytest.raises(ValueError, match="at least 1, it is 0"):
        set_num_threads(0)


def test_programs_use_the_number_that_was_set() -> None:
    x = np.random.default_rng(0).normal(size=50).astype(np.float32)
    program, given, out = pipeline(50, 4), buffers(x), Buffer(200)
    for threads in (1, 4, 2, 1, 3):
        set_num_threads(threads)
        program.run(given, [out])
        assert (out.array((50,), np.float32) == pipeline_reference(x, 4)).all()
        assert TEAM.size >= threads


def test_tiny_programs_start_no_threads() -> None:
    result = run_python(
        "from native_kernels import adder, buffers\n"
        "import numpy as np\n"
        "from glubina.runtime.team import TEAM\n"
        "x = np.ones(10, 'float32')\n"
        "adder(10, work=100).run(buffers(x, x), buffers(x), 2)\n"
        "assert TEAM.size == 1, TEAM.size\n"
    )
    assert result.returncode == 0, result.stderr


def test_the_environment_sets_the_number_of_threads() -> None:
    code = "from glubina.runtime.team import get_num_threads; print(get_num_threads())"
    assert run_python(code, GLUBINA_THREADS="5").stdout.strip() == "5"
    result = run_python(code, GLUBINA_THREADS="many")
    assert "GLUBINA_THREADS should be a positive integer, it is 'many'" in result.stderr


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_affinity_is_obeyed() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from glubina.runtime.team import get_num_threads; print(get_num_threads())"
    )
    assert run_python(code, GLUBINA_THREADS="").stdout.strip() == "1"


AFFINITY = """
import os, threading, time
import numpy as np
from native_kernels import buffers, pipeline, pipeline_reference
from glubina.runtime import team
from glubina.runtime.buffer import Buffer
from glubina.runtime.team import TEAM, get_num_threads

team.LOOK_SECONDS = 0.05
x = np.arange(60, dtype=np.float32)
program, given, out = pipeline(60, 5), buffers(x), Buffer(240)
all_of_them = os.sched_getaffinity(0)
def used(cpus):
    os.sched_setaffinity(0, cpus)
    time.sleep(0.06)
    program.run(given, [out])
    assert (out.array((60,), np.float32) == pipeline_reference(x, 5)).all()
    (frame,) = program._frames
    return frame.threads
whole = used(all_of_them)
assert whole == get_num_threads() >= 2 and TEAM.size == whole
one = {min(all_of_them)}
assert used(one) == 1
helpers = [t for t in threading.enumerate() if t.name.startswith("glubina-")]
assert helpers and all(os.sched_getaffinity(t.native_id) == one for t in helpers)
assert used(all_of_them) == whole
assert all(os.sched_getaffinity(t.native_id) == all_of_them for t in helpers)
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_affinity_that_changes_is_obeyed() -> None:
    if default_threads() < 2:
        pytest.skip("needs two cores")
    result = run_python(AFFINITY, GLUBINA_THREADS="")
    assert result.returncode == 0, result.stderr


def test_a_quota_that_changes_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLUBINA_THREADS", raising=False)
    monkeypatch.setattr(team, "LOOK_SECONDS", 0.0)
    for quota, threads in ((8.0, 4), (2.5, 3), (1.0, 1), (4.0, 4)):
        monkeypatch.setattr(limits, "_cores", lambda: 4)
        monkeypatch.setattr(limits, "cpu_quota", lambda folders, quota=quota: quota)
        time.sleep(0.001)
        monkeypatch.setattr(TEAM, "_looked_until", 0.0)
        assert get_num_threads() == threads


def test_where_no_more_threads_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        if self.name.startswith("glubina-"):
            raise RuntimeError("can't start new thread")
        start(self)

    start = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", refuse)
    x = np.random.default_rng(0).normal(size=50).astype(np.float32)
    program, out, size = pipeline(50, 4), Buffer(200), TEAM.size
    program.run(buffers(x), [out], size + 2)
    assert (out.array((50,), np.float32) == pipeline_reference(x, 4)).all()
    assert TEAM.size == size


def test_an_idle_team_takes_no_time() -> None:
    x = np.ones(50, np.float32)
    pipeline(50, 4).run(buffers(x), [Buffer(200)], 3)
    time.sleep(0.01)
    begin = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - begin < 0.05


def test_a_sleeping_team_wakes() -> None:
    x = np.ones(50, np.float32)
    program, given, out = pipeline(50, 4), buffers(x), Buffer(200)
    for _ in range(5):
        program.run(given, [out], 3)
        time.sleep(0.01)
    assert (out.array((50,), np.float32) == pipeline_reference(x, 4)).all()


def test_helpers_that_are_no_help_are_left_out_for_a_while() -> None:
    program, out = lopsided_program(), Buffer.zeros(64)
    threads = out.array((8,), np.int64)

    def ran_with() -> int:
        program.run([], [out], 2)
        return int(threads[0])

    with TEAM.steadfast():
        assert [ran_with() for _ in range(10)] == [2] * 10
    seen = [ran_with() for _ in range(60)]
    assert seen[:2] == [2, 2]  # once is no reason
    assert 1 in seen[:6]
    assert seen[20:].count(1) >= 30  # not all, as they are tried again
    with TEAM.steadfast():
        assert ran_with() == 2
    x = np.ones(500_000, np.float32)
    both, given, sums = adder(500_000), buffers(x, x), [Buffer(x.nbytes)]
    for _ in range(3):  # good runs make up for it
        both.run(given, sums, 2)
    assert (sums[0].array(x.shape, np.float32) == 2).all()


def test_helpers_are_daemons_with_a_name() -> None:
    x = np.ones(5, np.float32)
    adder(5).run(buffers(x, x), [Buffer(20)], 2)
    (helper,) = [t for t in threading.enumerate() if t.name == "glubina-1"]
    assert helper.daemon


FORK = """
import os
import numpy as np
from native_kernels import buffers, pipeline, pipeline_reference
from glubina.runtime.buffer import Buffer
from glubina.runtime.team import TEAM

x = np.arange(60, dtype=np.float32)
program, given, out = pipeline(60, 5), buffers(x), Buffer(240)
def right():
    out.array((60,), np.float32).fill(0)
    program.run(given, [out], 2)
    return (out.array((60,), np.float32) == pipeline_reference(x, 5)).all()
assert right() and TEAM.size == 2
children = []
for _ in range(3):
    child = os.fork()
    if child == 0:
        assert TEAM.size == 1
        ok = all(right() for _ in range(100)) and TEAM.size == 2
        os._exit(0 if ok else 1)
    children.append(child)
assert right()
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
assert codes == [0, 0, 0], codes
assert right()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_process_has_a_team_of_its_own() -> None:
    result = run_python(FORK)
    assert result.returncode == 0, result.stderr


def test_the_interpreter_ends_cleanly() -> None:
    code = (
        "import numpy as np, threading\n"
        "from native_kernels import buffers, pipeline\n"
        "from glubina.runtime.buffer import Buffer\n"
        "program, x, out = pipeline(60, 5), buffers(np.ones(60, 'float32')), Buffer(240)\n"
        "program.run(x, [out], 3)\n"
        "def forever():\n"
        "    while True: program.run(x, [out], 2)\n"
        "for _ in range(2): threading.Thread(target=forever, daemon=True).start()\n"
        "import time; time.sleep(0.05)\n"
    )
    for _ in range(3):
        result = run_python(code)
        assert result.returncode == 0, result.stderr
        assert result.stderr == ""
