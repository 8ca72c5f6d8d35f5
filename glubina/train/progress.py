"""The live progress bar: the epoch, the step, the loss and metrics, examples per second."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO, cast

from glubina.train.callbacks import Callback
from glubina.train.history import Logs
from glubina.train.output import Output

LINE_EVERY = 0.2  # seconds at least between the lines of finished epochs


class ProgressBar(Callback):
    """Show training in the terminal.

    A bar for the running epoch where the output is a terminal (unless `bar=False`), and a line
    for every finished epoch; of very short epochs only some get a line, the last one always.
    Where the output breaks off, training goes on without.
    """

    def __init__(self, bar: bool = True, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._wanted = bar

    def on_train_begin(self) -> None:
        """Open the display."""
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        stream: Any = self._stream or sys.stdout
        shown = None if stream is None else Output(stream)  # (Python has none where it is closed)
        self._console = Console(file=cast(TextIO, shown), highlight=False, soft_wrap=True)
        self._text = Text
        self._live: Live | None = None
        if self._wanted and self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=10, transient=True)
            self._live.start()
        self._pending = ""
        self._printed = -float("inf")

    def on_epoch_begin(self, epoch: int) -> None:
        """Start the epoch's clock."""
        self._epoch = epoch
        self._start = time.perf_counter()
        self._trained = 0.0

    def on_progress(self, step: int, logs: Logs) -> None:
        """Move the bar."""
        elapsed = time.perf_counter() - self._start
        self._trained = elapsed
        if self._live is None:
            return
        share = step / max(self.session.steps, 1)
        bar = "━" * round(24 * share) + "╌" * (24 - round(24 * share))
        text = f"{self._title()}  {bar} {step}/{self.session.steps}  {self._rate(share, elapsed)}"
        self._live.update(self._text(f"{text}  {figures(logs)}", no_wrap=True, overflow="ellipsis"))

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Print the epoch's line."""
        seconds = time.perf_counter() - self._start
        rate = self._rate(1.0, self._trained or seconds)
        self._pending = f"{self._title()}  {seconds:6.2f} s  {rate}  {figures(logs)}"
        if time.perf_counter() - self._printed >= LINE_EVERY:
            self._print()

    def on_train_end(self) -> None:
        """Close the display."""
        self._print()
        if self._live is not None:
            self._live.stop()
        if self.session.stopped:
            self._console.print(self._text(f"Stopped: {self.session.stopped}."))

    def state_dict(self) -> dict[str, Any]:
        """Nothing: what was printed stays printed."""
        return {}

    def _print(self) -> None:
        if self._pending:
            self._console.print(self._text(self._pending))
            self._pending = ""
            self._printed = time.perf_counter()

    def _title(self) -> str:
        width = len(str(self.session.epochs))
        return f"Epoch {self._epoch:{width}}/{self.session.epochs}"

    def _rate(self, share: float, seconds: float) -> str:
        rate = share * self.session.examples / max(seconds, 1e-9)
        return f"{rate:,.0f} {self.session.unit}/s"


def figures(logs: Logs) -> str:
    """The figures on one line."""
    return "  ".join(f"{name} {value:.4f}" for name, value in logs.items() if name != "seconds")
