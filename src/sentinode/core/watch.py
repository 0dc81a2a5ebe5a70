"""Wall time and peak memory of a stage, children included."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self, final

import psutil

__all__ = ["Watch", "anonymous_memory"]

SECONDS_BETWEEN_SAMPLES = 0.05


@final
class Watch:
    """Take a stage's wall time and peak resident memory while its block runs.

    Memory is sampled every 50 ms over this process and its children. Resident memory counts
    shared pages of memory-mapped files too; ``peak_anonymous_bytes`` leaves those out where the
    system tells (Linux) and equals the resident figure elsewhere.

    Attributes:
        seconds: Wall time of the block.
        peak_bytes: Largest resident set seen.
        peak_anonymous_bytes: Largest anonymous resident memory seen.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.peak_bytes = 0
        self.peak_anonymous_bytes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        """Start the clock and the sampling thread."""
        self._start = time.perf_counter()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop both; the figures are then final."""
        self._stop.set()
        self._thread.join()
        self.seconds = time.perf_counter() - self._start

    def _sample(self) -> None:
        while True:
            resident, anonymous = _memory()
            self.peak_bytes = max(self.peak_bytes, resident)
            self.peak_anonymous_bytes = max(self.peak_anonymous_bytes, anonymous)
            if self._stop.wait(SECONDS_BETWEEN_SAMPLES):
                return


def anonymous_memory() -> int:
    """Return the bytes of memory that this process and its children hold for themselves now."""
    return _memory()[1]


def _memory() -> tuple[int, int]:
    """Return resident and anonymous bytes of this process and its children."""
    own = psutil.Process()
    total = anonymous = 0
    for process in [own, *own.children(recursive=True)]:
        try:
            memory = process.memory_info()
        except psutil.Error:  # the child ended between listing and asking
            continue
        total += memory.rss
        anonymous += memory.rss - getattr(memory, "shared", 0)
    return total, anonymous
