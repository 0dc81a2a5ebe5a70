"""Work for processes that start clean, which cannot import a test file."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Sequence

from sentinode.data import Source
from sentinode.types import UInt8Array


def add(shared: int, task: int) -> int:
    return shared + task


def die(shared: int, task: int) -> int:
    """End the process that does the task, unless it is the one that asked for it."""
    if task == shared and multiprocessing.parent_process() is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def third_patch(sources: Sequence[Source], number: int) -> UInt8Array:
    return sources[number].read(2)
