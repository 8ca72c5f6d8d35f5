"""The first thing imported: in the command line, Ctrl-C ends the imports without a trace."""

from __future__ import annotations

import os
import signal
import sys


def is_command(name: str, words: list[str]) -> bool:
    """Whether Python was started for the command line: `glubina`, or `python -m glubina`.

    name: `sys.argv[0]`, which is "-m" while the package of what is to be run is imported. words:
    `sys.orig_argv`.
    """
    if name != "-m":
        return os.path.basename(name) in ("glubina", "glubina.exe")
    for option, module in zip(words, [*words[1:], ""]):
        if option.startswith("-m") and option != "-m":
            option, module = "-m", option[2:]
        if option.startswith("-") and option.endswith("m"):
            return module.partition(".")[0] == "glubina"
    return False


# An exception in the midst of somebody's module would show all of it. `glubina.cli.start` puts
# Python's own way back. One that is ignored stays ignored.
if (
    is_command(sys.argv[0] if getattr(sys, "argv", None) else "", sys.orig_argv)
    and signal.getsignal(signal.SIGINT) is signal.default_int_handler
):
    signal.signal(signal.SIGINT, signal.SIG_DFL)
