"""Slides spread over the workers of a Dask scheduler, here or on a cluster.

A worker that dies takes nothing with it: Dask gives its slide to another one, which finds the
lock of the dead one free and its half-written folder removed. A slide that was finished just
before is found finished, and is not done again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from sentinode.core import Progress, cores, require
from sentinode.errors import BusyError, CheckpointError, DiskFullError, InputError, SentinodeError
from sentinode.slide.analysis import Analyst, Job, Outcome
from sentinode.slides import stem_of

__all__ = ["on_cluster"]

RETRIES = 2  # of a slide whose worker failed otherwise than by a wrong slide
LOST_WORKERS = 5  # that one slide may cost
PATIENCE_S, PAUSE_S = 3600, 2  # for a worker that was given up and still works
CONNECT_S = 30


def on_cluster(
    job: Job, identity: str, slides: Sequence[Path], workers: int, scheduler: str | None
) -> Iterator[Outcome]:
    """Yield what became of each slide, in the order they are finished.

    Args:
        job: What is to be done; its paths must be the same for all workers.
        identity: Of the network that every worker is to use, as :class:`Analyst` has it.
        slides: Which.
        workers: Local processes, where there is no scheduler.
        scheduler: Address, as in ``tcp://node1:8786``.

    Raises:
        MissingExtraError: Dask is not installed.
        InputError: The scheduler does not answer, or a worker cannot use the run.
        CheckpointError: A worker has another network than this process, or a damaged one.
        DiskFullError: There is no room for what is to be written.
    """
    distributed: Any = require("distributed", extra="cluster", purpose="work on a cluster")
    dask: Any = require("dask", extra="cluster", purpose="work on a cluster")
    with ExitStack() as stack:
        settings = {"distributed.scheduler.allowed-failures": LOST_WORKERS}
        stack.enter_context(dask.config.set(settings))
        if scheduler is None:
            cluster = distributed.LocalCluster(
                n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
            )
            scheduler = stack.enter_context(cluster).scheduler_address
            job = _shared(job, workers)
        try:
            client = distributed.Client(scheduler, timeout=CONNECT_S)
        except (OSError, ValueError) as error:
            raise InputError(
                f"no Dask scheduler answers at {scheduler}: {error}; start one with "
                "`dask scheduler`, or take --workers for processes on this machine"
            ) from error
        stack.enter_context(client)
        give = partial(client.submit, analyse, _absolute(job), pure=False, retries=RETRIES)
        tasks = {give(path.absolute(), identity): path for path in slides}
        with Progress("slides", len(slides), unit="slides") as progress:
            for task in distributed.as_completed(list(tasks)):
                yield _outcome(task, tasks[task])
                progress.advance(1, workers=str(len(client.scheduler_info()["workers"])))


def analyse(job: Job, path: Path, identity: str) -> Outcome | SentinodeError:
    """Analyse a slide in a worker's process, which keeps the network from one to the next.

    Returns:
        What became of it, or the error that no other slide would escape. That is returned and
        not raised, or Dask would try again.
    """
    try:
        return _patiently(_analyst(job, identity), path)
    except SentinodeError as error:
        return error


def _patiently(analyst: Analyst, path: Path) -> Outcome:
    """Analyse a slide; errors as of `taken`."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            return analyst.take(path)
        except (DiskFullError, CheckpointError):
            raise
        except BusyError:
            # another worker, which the scheduler has lost sight of, is still at it
            if time.monotonic() > end:
                return Outcome(stem_of(path), "failed", "another process is at this slide")
            time.sleep(PAUSE_S)
        except SentinodeError as error:
            return Outcome(stem_of(path), "failed", " ".join(str(error).split()))


@lru_cache(maxsize=1)
def _analyst(job: Job, identity: str) -> Analyst:
    """Return the network that is asked for: a path may hold another one than it did before.

    Raises:
        CheckpointError: It has another identity.
    """
    made = Analyst(job)
    if made.identity != identity:
        raise CheckpointError(
            f"{job.run} holds other weights or another calibration for a worker than when this "
            "command began; give every worker the same run, leave it as it is, and start again"
        )
    return made


def _outcome(task: Any, path: Path) -> Outcome:
    """Return what became of a slide.

    Raises:
        SentinodeError: What no other slide would escape either.
    """
    error = task.exception()
    if error is not None:
        return Outcome(stem_of(path), "failed", f"{type(error).__name__}: {error}")
    found: Outcome | SentinodeError = task.result()
    if isinstance(found, SentinodeError):
        raise found
    return found


def _shared(job: Job, workers: int) -> Job:
    """Give each local worker its share of the cores."""
    return Job(job.run, job.out, job.mpp, job.config, max(1, cores() // workers))


def _absolute(job: Job) -> Job:
    run = str(Path(job.run).absolute()) if Path(job.run).exists() else job.run
    return Job(run, job.out.absolute(), job.mpp, job.config, job.threads)
