"""What is around a run: its output breaks off, names are odd, a Ctrl-C comes before it begins."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import Ended, Nursery

from glubina._command import is_command

SHORT = ("train", "digits", "--epochs", 1)
COMMAND = [sys.executable, "-m", "glubina"]


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with Nursery(tmp_path_factory.mktemp("nursery")) as made:
        yield made


def begun(*arguments: object, **more: object) -> subprocess.Popen[str]:
    """A command that runs in a process of its own."""
    path = str(Path(__file__).parents[2])
    return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
        [*COMMAND, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.PIPE, text=True, **more,
    )  # fmt: skip


@pytest.mark.parametrize("quiet", [(), ("--quiet",)])
def test_a_reader_that_has_seen_enough_ends_no_run(tmp_path: Path, quiet: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    run = begun(*SHORT, *quiet, "--output", tmp_path / "run", stdout=writing)
    os.close(writing)
    _, text = run.communicate(timeout=120)
    assert run.returncode == 0, text
    assert text == "note: the output is lost (broken pipe); training goes on\n"
    assert (tmp_path / "run" / "metrics.json").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_log_on_a_full_disk_ends_no_run(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        run = begun(*SHORT, "--output", tmp_path / "run", stdout=full)
        _, text = run.communicate(timeout=120)
    assert run.returncode == 0, text
    assert text == "note: the output is lost (no space left on device); training goes on\n"
    assert (tmp_path / "run" / "metrics.json").exists()


def test_ctrl_c_in_the_imports_leaves_no_trace() -> None:
    for wait in (0.08, 0.15, 0.25, 0.35):
        run = begun("train", "--resume", "/nowhere", stdout=subprocess.DEVNULL)
        # no sooner than Python itself is up: that is before a line of ours
        while Path(f"/proc/{run.pid}/maps").exists() and "multiarray" not in _maps(run.pid):
            if run.poll() is not None:
                break
            time.sleep(0.002)
        time.sleep(wait / 10)
        run.send_signal(signal.SIGINT)
        _, text = run.communicate(timeout=60)
        assert "Traceback" not in text
        assert run.returncode in (-signal.SIGINT, 130, 2), text


def _maps(process: int) -> str:
    try:
        return Path(f"/proc/{process}/maps").read_text()
    except OSError:
        return "multiarray"


def test_which_processes_are_commands() -> None:
    assert is_command("-m", ["python", "-m", "glubina", "train"])
    assert is_command("-m", ["python", "-X", "importtime", "-Im", "glubina.cli"])
    assert is_command("-m", ["python", "-mglubina"])
    assert is_command("/usr/bin/glubina", ["python", "/usr/bin/glubina"])
    assert not is_command("-m", ["python", "-m", "pytest", "-m", "glubina"])
    assert not is_command("-m", ["python", "-m"])
    assert not is_command("train.py", ["python", "train.py", "-m", "glubina"])
    assert not is_command("", ["python"])


def ended_by(fault: str, nursery: Nursery, output: Path) -> Ended:
    """A long run that a signal ends, when it has begun: after a second, on a busy machine later."""
    for seconds in (1, 4, 16):
        long = ("train", "digits", "--epochs", 500, "--quiet", "--output", output)
        ended = nursery.run(*long, fault=f"{fault}:{seconds}")
        if "To go on" in ended.text:
            break
    return ended


def test_the_way_to_go_on_can_be_pasted(nursery: Nursery, tmp_path: Path) -> None:
    run = tmp_path / "my runs" / "d'or"
    ended = ended_by("term", nursery, run)
    assert ended.code == 143, ended.text
    last = ended.text.splitlines()[-1]
    assert last.endswith(f"To go on: glubina train digits --resume '{tmp_path}/my runs/d'\"'\"'or'")


def test_the_end_of_the_terminal_saves(nursery: Nursery, tmp_path: Path) -> None:
    ended = ended_by("hangup", nursery, tmp_path / "run")
    assert ended.code == 129, ended.text
    assert "interrupted by SIGHUP" in ended.text


def test_a_path_of_nothing(nursery: Nursery) -> None:
    for option in ("--output", "--resume"):
        ended = nursery.run(*SHORT, option, "")
        assert ended.code == 2
        assert "it is empty, and a path was expected" in ended.text
    ended = nursery.run("evaluate", "")
    assert ended.code == 2
    assert "it is empty, and a path was expected" in ended.text


def test_a_link_to_nothing(nursery: Nursery, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "missing")
    for folder in (link, link / "run"):
        ended = nursery.run(*SHORT, "--output", folder)
        assert ended.code == 2
        assert f"{link} is a link to nothing that is there" in ended.text.replace("\n", " ")


def test_files_of_others_stay(nursery: Nursery, tmp_path: Path) -> None:
    for name, content in (("settings.json", '{"editor": "vi"}'), ("history.csv", "a,b\n1,2\n")):
        file = tmp_path / name.partition(".")[0] / name
        file.parent.mkdir()
        file.write_text(content)
        ended = nursery.run(*SHORT, "--output", file.parent)
        assert ended.code == 2, ended.text
        assert f"holds {name}, which the run would replace; name another" in ended.text
        assert file.read_text() == content
        assert list(file.parent.iterdir()) == [file]
    ended = nursery.run(*SHORT, "--quiet", "--output", tmp_path / "history", "--overwrite")
    assert ended.code == 0, ended.text


@pytest.mark.parametrize("command", [("recipes",), ("train", "--help"), ("data",)])
def test_a_reader_that_has_seen_enough_of_a_command(command: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    run = begun(*command, stdout=writing)
    os.close(writing)
    _, text = run.communicate(timeout=120)
    assert (run.returncode, text) == (1, "")
