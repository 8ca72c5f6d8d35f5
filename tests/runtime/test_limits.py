"""The limits of the machine and of containers."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from glubina.runtime import limits
from glubina.runtime.limits import available_memory, cpu_quota, default_threads, require_memory


def folder(path: Path, **contents: str) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name, text in contents.items():
        (path / name.replace("__", ".")).write_text(text + "\n")
    return path


def test_cpu_quota(tmp_path: Path) -> None:
    free = folder(tmp_path / "free", cpu__max="max 100000")
    two = folder(tmp_path / "two", cpu__max="250000 100000")
    old = folder(tmp_path / "old", cpu__cfs_quota_us="50000", cpu__cfs_period_us="100000")
    old_free = folder(tmp_path / "old_free", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    assert cpu_quota([]) == math.inf
    assert cpu_quota([free, old_free, tmp_path / "missing"]) == math.inf
    assert cpu_quota([free, two]) == 2.5
    assert cpu_quota([two, old]) == 0.5


def test_threads_under_a_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLUBINA_THREADS", raising=False)
    monkeypatch.setattr(limits, "_cores", lambda: 8)
    for quota, threads in ((math.inf, 8), (2.5, 3), (0.1, 1), (100.0, 8)):
        monkeypatch.setattr(limits, "cpu_quota", lambda folders, quota=quota: quota)
        assert default_threads() == threads


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5"])
def test_a_wrong_environment_variable(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLUBINA_THREADS", text)
    with pytest.raises(ValueError, match="should be a positive integer"):
        default_threads()


def test_memory_of_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = available_memory()
    assert machine > 1 << 20
    new = folder(tmp_path / "new", memory__max="3000", memory__current="1000")
    folder(new, memory__stat="anon 5\ninactive_file 400\n")
    old = folder(tmp_path / "old", memory__limit_in_bytes="9000", memory__usage_in_bytes="1000")
    free = folder(tmp_path / "free", memory__max="max", memory__current="1000")
    for folders, expected in (([new, free], 2400), ([old], 8000), ([free, old, new], 2400)):
        monkeypatch.setattr(limits, "_cgroup_folders", lambda controller, f=folders: f)
        assert available_memory() == expected


def test_too_much_memory_is_refused_with_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "available_memory", lambda: 3 << 20)
    require_memory(3 << 20, "the arena")
    with pytest.raises(MemoryError, match=r"the arena needs 4\.0 GiB .* only 3\.0 MiB"):
        require_memory(4 << 30, "the arena")
    with pytest.raises(MemoryError, match=r"needs 1024\.0 GiB"):
        require_memory(1 << 40, "the arena")
