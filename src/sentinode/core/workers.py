"""Work spread over processes that start clean, leave Ctrl-C to their parent and end with it."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from sentinode.errors import WorkerLostError

__all__ = ["cores", "spread"]

Shared = TypeVar("Shared")
Task = TypeVar("Task")
Result = TypeVar("Result")

_AHEAD = 2  # tasks handed to each worker ahead of time: what it does while this process is done


def cores() -> int:
    """Return the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def spread(
    work: Callable[[Shared, Task], Result], shared: Shared, tasks: Sequence[Task], workers: int
) -> Iterator[tuple[Task, Result]]:
    """Do ``work(shared, task)`` for every task and yield each with its result as it finishes.

    This process takes part, from the last task on, so that it is not idle while others start.

    Args:
        work: A function of a module, so that a new process can import it.
        shared: Sent once to every worker.
        tasks: What is to be done; hashable.
        workers: Processes, this one among them; 0 takes all cores.

    Raises:
        WorkerLostError: A worker was killed.
    """
    workers = min(workers or cores(), len(tasks))
    if workers <= 1:
        for task in tasks:
            yield task, work(shared, task)
        return
    with TemporaryDirectory(prefix="sentinode-") as folder:
        # through a file: were it sent through the pipe that starts a worker, one killed before it
        # had read all would leave this process waiting for ever
        sent = Path(folder) / "shared.pickle"
        with sent.open("wb") as handle:
            pickle.dump(shared, handle)
        yield from _spread(work, shared, sent, tasks, workers)


def _spread(
    work: Callable[[Shared, Task], Result],
    shared: Shared,
    sent: Path,
    tasks: Sequence[Task],
    workers: int,
) -> Iterator[tuple[Task, Result]]:
    pool = ProcessPoolExecutor(
        workers - 1,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(work, sent),
    )
    try:
        left = deque(tasks)
        waiting: dict[Future[Result], Task] = {}
        while left or waiting:
            # handed out a few at a time: to take one back from a pool that breaks just then would
            # end the pool's thread with an error of its own
            while len(left) > 1 and len(waiting) < _AHEAD * (workers - 1):
                task = left.popleft()
                waiting[pool.submit(_do, task)] = task
            if left:
                task = left.pop()
                yield task, work(shared, task)
            else:
                wait(waiting, return_when=FIRST_COMPLETED)
            for done in [f for f in waiting if f.done()]:
                yield waiting.pop(done), done.result()
    except BrokenProcessPool as error:
        raise WorkerLostError(
            "a worker process was ended from outside, as a system does that runs out of memory; "
            "what was finished is kept: give the same command again, with fewer workers"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_own: list[Any] = []  # a worker's function and what is shared with it


def _start(work: Callable[[Any, Any], Any], sent: Path) -> None:
    with sent.open("rb") as handle:
        _own[:] = [work, pickle.load(handle)]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this worker when its parent was killed; nobody else would."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _do(task: Any) -> Any:
    work, shared = _own
    return work(shared, task)
