"""One way to show progress: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self, final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress

__all__ = ["Progress"]

SECONDS_BETWEEN_LINES = 10.0


@final
class Progress:
    """Progress of one stage, as a context manager.

    In a terminal a bar with the rate, the time left and what the caller adds; elsewhere (a log,
    CI) one line every ten seconds and one at the end. Written to standard error, so that a
    command's output can be piped.

    Args:
        title: What is being done, as in "pack".
        total: Number of units, or None where it is not known.
        unit: Name of the unit in the plural, as in "patches".
        done: Units already finished by an earlier, interrupted run.
        quiet: Show nothing.
    """

    def __init__(
        self,
        title: str,
        total: float | None,
        unit: str = "patches",
        done: int = 0,
        quiet: bool = False,
    ) -> None:
        self._title, self._total, self._unit = title, total, unit
        self._done: float = done
        self._started_at: float = done
        self._console = Console(stderr=True, quiet=quiet)
        self._note = ""
        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self._console,
            transient=False,
            disable=quiet or not self._console.is_terminal,
        )
        self._task = self._bar.add_task(title, total=total, completed=done, rate="", note="")

    def __enter__(self) -> Self:
        """Start the clock and the bar."""
        self._start = self._last_line = time.perf_counter()
        self._bar.start()
        return self

    def expect(self, total: float, done: float = 0) -> None:
        """Say how much there is in all, and how much of it was there before, once that is known."""
        self._total, self._done, self._started_at = total, done, done
        self._start = time.perf_counter()
        self._bar.update(self._task, total=total, completed=done)

    def advance(self, n: float = 1, **facts: float | str) -> None:
        """Count ``n`` more units and show facts such as ``loss=0.31`` beside the bar."""
        self._done += n
        if facts:
            self._note = " ".join(f"{name} {_short(value)}" for name, value in facts.items())
        self._bar.update(
            self._task,
            completed=self._done,
            rate=f"{self.rate:.0f} {self._unit}/s",
            note=self._note,
        )
        now = time.perf_counter()
        if not self._console.is_terminal and now - self._last_line > SECONDS_BETWEEN_LINES:
            self._last_line = now
            self._line()

    def say(self, line: str) -> None:
        """Print a line that stays, above the bar."""
        self._console.print(line, highlight=False, soft_wrap=True)

    @property
    def rate(self) -> float:
        """Units per second since the start of this run."""
        return (self._done - self._started_at) / max(time.perf_counter() - self._start, 1e-9)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the bar; a log gets one closing line where the work was finished."""
        self._bar.stop()
        if kind is None and not self._console.is_terminal:
            self._line()

    def _line(self) -> None:
        elapsed = time.perf_counter() - self._start
        parts = [f"{self._title}: {self._done:,.0f}"]
        if self._total is not None:
            parts[0] += f" of {self._total:,.0f} {self._unit}"
            if self._done < self._total and self.rate:
                parts.append(f"{(self._total - self._done) / self.rate:.0f} s left")
        parts += [f"{self.rate:.0f} {self._unit}/s", f"{elapsed:.1f} s", self._note]
        self._console.print(", ".join(p for p in parts if p), highlight=False, soft_wrap=True)


def _short(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"
