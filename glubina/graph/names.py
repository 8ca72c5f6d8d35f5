"""Names that are nearly right: what to suggest for a misspelled one."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any


def near(name: object, known: Iterable[str], count: int = 2) -> list[str]:
    """Those of the known names that come near, the nearest first."""
    import difflib  # only where a name is wrong

    names = [k for k in known if not k.startswith("_")]
    same = {k.lower(): k for k in names}
    found = difflib.get_close_matches(str(name).lower(), same, n=count, cutoff=0.6)
    return [same[match] for match in found]


def suggestion(name: object, known: Iterable[str]) -> str:
    """The text "; did you mean 'Linear'?" for a name that comes near a known one, else none."""
    found = " or ".join(map(repr, near(name, known)))
    return f"; did you mean {found}?" if found else ""


def lacking(text: str) -> AttributeError:
    """An AttributeError with this text, to which Python adds no suggestion of its own."""
    return AttributeError(text, name="", obj=None)


def missing(module: str, name: str, known: Iterable[str]) -> AttributeError:
    """The error for a name that a module does not have."""
    hint = "" if name.startswith("_") else suggestion(name, known)
    return lacking(f"module {module!r} has no attribute {name!r}{hint}")


def unknown(kind: str, name: object, known: Iterable[str]) -> str:
    """The text for a name that there is not: what comes near, and all that there are."""
    names = list(known)
    found = " or ".join(map(repr, near(name, names)))
    hint = f"did you mean {found}? There are" if found else "there are"
    return f"unknown {kind} {name!r}; {hint} {', '.join(names)}"


def check_arguments(kind: type, given: Iterable[str], other: dict[str, str] | None = None) -> None:
    """TypeError for an argument by a name that `kind.__init__` does not know.

    other: names that people use for what is called otherwise here.
    """
    function = vars(kind).get("__init__") or getattr(kind, "__init__", None)
    code = getattr(function, "__code__", None)
    if code is None or code.co_flags & inspect.CO_VARKEYWORDS:
        return
    count = code.co_argcount + code.co_kwonlyargcount
    names = code.co_varnames[1:count]
    for name in given:
        if name not in names:
            renamed: Any = (other or {}).get(name)
            hint = f"; did you mean {renamed!r}?" if renamed in names else suggestion(name, names)
            takes = ", ".join(names) or "none"
            raise TypeError(f"{kind.__name__} has no argument {name!r}{hint} (it takes {takes})")
