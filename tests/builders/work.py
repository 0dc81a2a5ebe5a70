"""Work for processes that start clean, which cannot import a test file."""

from __future__ import annotations

import os
import signal


def add(shared: int, task: int) -> int:
    return shared + task


def die(shared: int, task: int) -> int:
    if task == shared:
        os.kill(os.getpid(), signal.SIGKILL)
    return task
