"""Who is measured: the systems, their modes, the Python that runs each, its environment."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class System:
    """A framework: its modes, what must be importable, how one gets it."""

    name: str
    modes: tuple[str, ...]
    modules: tuple[str, ...]
    install: str
    packages: tuple[str, ...]  # whose files count as its installed size


SYSTEMS = {
    system.name: system
    for system in (
        System("torch", ("eager", "tuned", "compile"), ("torch",), "torch==2.13.0", ("torch",)),
        System("jax", ("jit",), ("jax", "jaxlib"), "jax==0.10.2", ("jax",)),
        System(
            *("tf-keras", ("function",), ("tensorflow", "tf_keras")),
            *("tensorflow-cpu==2.21.0 tf-keras==2.21.0", ("tensorflow-cpu", "tf-keras")),
        ),
        System("tinygrad", ("jit",), ("tinygrad",), "tinygrad==0.14.0", ("tinygrad",)),
        System("glubina", ("loop", "compiled", "fit"), ("glubina",), "-e .", ("glubina",)),
    )
}
PEERS = tuple(name for name in SYSTEMS if name != "glubina")
USUAL = tuple(name for name in PEERS if name != "tinygrad")  # whose compiling takes minutes


@dataclass(frozen=True)
class Contestant:
    """What one worker runs: a system on a workload in a mode, with variables of its own."""

    system: str
    workload: str
    mode: str
    variables: tuple[tuple[str, str], ...] = ()
    label: str = ""

    def __str__(self) -> str:
        return self.label or f"{self.system} {self.mode}".strip()


@dataclass
class Interpreters:
    """The Python of every system: this one, unless `name=path` says otherwise.

    The variable GLUBINA_BENCH_PYTHON holds such pairs, separated by commas.
    """

    paths: dict[str, str] = field(default_factory=dict)

    @classmethod
    def given(cls, pairs: list[str]) -> Interpreters:
        """From the command line's pairs, and the environment's; ValueError for what is none."""
        named = [p for p in os.environ.get("GLUBINA_BENCH_PYTHON", "").split(",") if p]
        paths = {}
        for pair in [*named, *pairs]:
            name, equals, path = pair.partition("=")
            if name not in SYSTEMS or not equals:
                raise ValueError(
                    f"expected SYSTEM=PATH with a system of {', '.join(SYSTEMS)}: {pair}"
                )
            paths[name] = path
        return cls(paths)

    def of(self, system: str) -> str:
        """The interpreter of a system."""
        return self.paths.get(system, sys.executable)

    def lacks(self, name: str) -> str:
        """What to say if the system is not installed; else nothing."""
        system = SYSTEMS[name]
        if _finds(self.of(name), system.modules):
            return ""
        return (
            f"{name} is not installed, so it is left out. To have it: "
            f"{self.of(name)} -m pip install {system.install}"
        )


@functools.cache
def _finds(python: str, modules: tuple[str, ...]) -> bool:
    """Whether an interpreter finds all these modules, without importing them."""
    text = "import sys, importlib.util as u; sys.exit(not all(map(u.find_spec, sys.argv[1:])))"
    done = subprocess.run([python, "-c", text, *modules], capture_output=True, cwd=ROOT)
    return done.returncode == 0


def environment(contestant: Contestant, threads: int, cache: str) -> dict[str, str]:
    """The worker's environment: its threads, and a folder for what it keeps compiled."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC")
    counts = dict.fromkeys((*names, "BENCHMARK_THREADS", "GLUBINA_THREADS"), str(threads))
    caches = {
        "GLUBINA_CACHE": f"{cache}/glubina",
        "TORCHINDUCTOR_CACHE_DIR": f"{cache}/torch",
        "XDG_CACHE_HOME": f"{cache}/other",
    }
    return os.environ | counts | caches | dict(contestant.variables)


@functools.cache
def installed(python: str, packages: tuple[str, ...]) -> tuple[str, int]:
    """The first package's version, and the bytes of all files of these and of what they need."""
    done = subprocess.run(
        [python, "-m", "benchmarks.installed", *packages],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    version, _, size = done.stdout.strip().partition(" ")
    return version, int(size or 0)


def about(names: list[str], interpreters: Interpreters) -> dict[str, tuple[str, int]]:
    """Of every system named: its version and its installed size."""
    return {n: installed(interpreters.of(n), SYSTEMS[n].packages) for n in names}
