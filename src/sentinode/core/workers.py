"""Work spread over processes that start clean, leave Ctrl-C to their parent and end with it."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Generic, Self, TypeVar, final

from sentinode.errors import WorkerLostError

__all__ = ["Workers", "cores", "spread"]

Shared = TypeVar("Shared")
Task = TypeVar("Task")
Result = TypeVar("Result")

MOST_OTHERS = 60 if sys.platform == "win32" else 1000  # what Windows can wait for at once
_AHEAD = 2  # tasks handed to each worker ahead of time: what it does while this process is done


def cores() -> int:
    """Return the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@final
class Workers(Generic[Shared, Task, Result]):
    """Processes that start while this one goes on, as a context manager.

    Args:
        work: A function of a module ``work(shared, task)``, so that a new process can import it,
            and does as it starts.
        count: Processes, this one among them; 0 takes all cores.
    """

    def __init__(self, work: Callable[[Shared, Task], Result], count: int) -> None:
        self._work = work
        self._others = min((count or cores()) - 1, MOST_OTHERS)
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def start(self) -> None:
        """Let the other processes start, so that they are ready when there is work.

        Raises:
            WorkerLostError: The system lets no further process start.
        """
        if self._pool is not None or self._others <= 0:
            return
        self._pool = ProcessPoolExecutor(
            self._others,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start,
            initargs=(self._work,),
        )
        try:
            with _deaf_to_interrupts():
                for _ in range(self._others):  # each starts when it is asked for something
                    self._pool.submit(cores)
        except BrokenProcessPool:
            pass  # one has ended already: said when there is work for it
        except OSError as error:
            raise WorkerLostError(
                f"no further worker process can start ({error.strerror}); give fewer workers"
            ) from error

    def spread(self, shared: Shared, tasks: Sequence[Task]) -> Iterator[tuple[Task, Result]]:
        """Do ``work(shared, task)`` for every task and yield each with its result as it finishes.

        Once. This process takes part, from the last task on, so that it is not idle while others
        start; they end with the block.

        Args:
            shared: Sent once to every worker.
            tasks: What is to be done; hashable.

        Raises:
            WorkerLostError: A worker was killed.
        """
        if len(tasks) > 1:
            self.start()
        if self._pool is None:
            for task in tasks:
                yield task, self._work(shared, task)
            return
        with TemporaryDirectory(prefix="sentinode-", ignore_cleanup_errors=True) as folder:
            # through a file: were it sent through a pipe, one killed before it had read all would
            # leave this process waiting for ever
            sent = Path(folder) / "shared.pickle"
            with sent.open("wb") as handle:
                pickle.dump(shared, handle)
            try:
                yield from self._spread(self._pool, shared, sent, tasks)
            except BrokenProcessPool as error:
                raise WorkerLostError(
                    "a worker process was ended from outside, as a system does that runs out of "
                    "memory; what was finished is kept: give the same command again, with fewer "
                    "workers"
                ) from error

    def _spread(
        self, pool: ProcessPoolExecutor, shared: Shared, sent: Path, tasks: Sequence[Task]
    ) -> Iterator[tuple[Task, Result]]:
        left = deque(tasks)
        waiting: dict[Future[Result], Task] = {}
        while left or waiting:
            # handed out a few at a time: to take one back from a pool that breaks just then would
            # end the pool's thread with an error of its own
            while len(left) > 1 and len(waiting) < _AHEAD * self._others:
                task = left.popleft()
                waiting[pool.submit(_do, sent, task)] = task
            if left:
                task = left.pop()
                yield task, self._work(shared, task)
            else:
                wait(waiting, return_when=FIRST_COMPLETED)
            for done in [f for f in waiting if f.done()]:
                yield waiting.pop(done), done.result()


def spread(
    work: Callable[[Shared, Task], Result], shared: Shared, tasks: Sequence[Task], workers: int
) -> Iterator[tuple[Task, Result]]:
    """Do ``work(shared, task)`` for every task in processes that start now.

    See :meth:`Workers.spread`.

    Args:
        work: A function of a module, so that a new process can import it.
        shared: Sent once to every worker.
        tasks: What is to be done; hashable.
        workers: Processes, this one among them; 0 takes all cores.

    Raises:
        WorkerLostError: A worker was killed.
    """
    with Workers(work, min(workers or cores(), max(1, len(tasks)))) as hired:
        yield from hired.spread(shared, tasks)


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Start processes that leave Ctrl-C to this one, before they come to ignore it themselves."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # it would take the block away again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_own: list[Any] = []  # a worker's function, and then what is shared with it


def _start(work: Callable[[Any, Any], Any]) -> None:
    _own.append(work)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this worker when its parent was killed; nobody else would."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _do(sent: Path, task: Any) -> Any:
    if len(_own) == 1:
        with sent.open("rb") as handle:
            _own.append(pickle.load(handle))
    work, shared = _own
    return work(shared, task)
