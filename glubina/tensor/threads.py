"""How many threads programs run on."""

from __future__ import annotations


def set_num_threads(threads: int | None) -> None:
    """Set how many threads programs run on (None: one per core that this process may use).

    Results do not depend on it.
    """
    # imported here, because the code generator need not be loaded before something is compiled
    from glubina.runtime import team

    team.set_num_threads(threads)


def get_num_threads() -> int:
    """How many threads programs run on."""
    from glubina.runtime import team

    return team.get_num_threads()
