"""A stored study that many processes may share, and that goes on after any of them was killed."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
import optuna
from filelock import FileLock, Timeout
from optuna.distributions import distribution_to_json
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import TPESampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import FrozenTrial, Trial, TrialState

from sentinode.config import TuneConfig
from sentinode.core import first_line, make_folder
from sentinode.errors import InputError, MissingInputError
from sentinode.tune.space import Space

__all__ = ["FAILURE", "INTERRUPTED", "SharedStudy", "open_study", "plain_space"]

STUDY_NAME = "sentinode"
MADE_FROM, WORKER = "made_from", "worker"
INTERRUPTED, FAILURE = "interrupted", "failure"
JOURNAL = b'{"op_code":'  # how every line of one begins
SQLITE = (".db", ".sqlite", ".sqlite3")
SECONDS_TO_WAIT = 60.0
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


def plain_space(space: Space) -> dict[str, str]:
    """Return a space as plain JSON values."""
    return {key: distribution_to_json(values) for key, values in sorted(space.items())}


@final
class SharedStudy:
    """One worker's hold on a study.

    A worker keeps a lock file for as long as it lives. A trial whose worker is gone is tried
    again with the same values, and its training goes on where it was.

    Attributes:
        study: Optuna's study.
        worker: Name of this worker.
    """

    def __init__(self, study: optuna.Study, file: Path, settings: TuneConfig) -> None:
        self.study, self.worker = study, uuid.uuid4().hex
        self._settings = settings
        self._gate = FileLock(f"{file}.gate")
        self._workers = Path(f"{file}.workers")

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Be known as alive for as long as the block lasts."""
        make_folder(self._workers)
        path = self._workers / self.worker
        with FileLock(path):
            yield
        path.unlink(missing_ok=True)

    def next_trial(self, space: Space, trials: int) -> tuple[int, Trial] | None:
        """Take the next trial, with its place; None once the study has as many as asked for.

        One worker at a time, so that there is never one too many. What is drawn depends on the
        seed and on the trials before it, not on interruptions.
        """
        with self._gate:
            self._take_up_the_lost()
            known = self.study.get_trials(deepcopy=False)
            running = [t for t in known if t.state == TrialState.RUNNING]
            done = len(running) + len(self.counted())
            if done >= trials:
                return None
            seed = np.random.SeedSequence((self._settings.seed, done)).generate_state(1)[0]
            self.study.sampler = TPESampler(
                n_startup_trials=self._settings.random_trials, seed=int(seed)
            )
            trial = self.study.ask(space)
            trial.set_user_attr(WORKER, self.worker)
            return done + 1, trial

    def running(self) -> int:
        """Return how many trials other workers are at."""
        return len(self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))

    def counted(self) -> list[FrozenTrial]:
        """Return the finished trials, without those that were cut short and tried again."""
        known = self.study.get_trials(deepcopy=False, states=FINISHED)
        return [t for t in known if not t.user_attrs.get(INTERRUPTED)]

    def _take_up_the_lost(self) -> None:
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            worker = trial.user_attrs.get(WORKER)
            if worker == self.worker or (worker is not None and self._alive(worker)):
                continue
            storage = self.study._storage  # a trial of another worker has no public handle
            storage.set_trial_user_attr(trial._trial_id, INTERRUPTED, True)
            self.study.tell(trial.number, state=TrialState.FAIL)
            if worker is not None:
                self.study.enqueue_trial(trial.params)
            elif "fixed_params" in trial.system_attrs:  # it was being taken up
                self.study.enqueue_trial(trial.system_attrs["fixed_params"])
            # Otherwise its worker was killed while it drew values, and the same are drawn again.

    def _alive(self, worker: str) -> bool:
        path = self._workers / worker
        if not path.exists():
            return False
        try:
            with FileLock(path, timeout=0):
                path.unlink(missing_ok=True)
                return False
        except Timeout:
            return True


def open_study(file: Path, settings: TuneConfig, made_from: Mapping[str, Any]) -> SharedStudy:
    """Open a study, or begin one.

    Args:
        file: ``.db`` or ``.sqlite`` for SQLite, anything else for a journal.
        settings: What is made best, sampler and pruner.
        made_from: All that every trial shares, as plain JSON.

    Raises:
        InputError: The file is no study, or one of other data or another space.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    make_folder(file.parent)
    direction: Literal["maximize", "minimize"] = (
        "maximize" if settings.objective == "auc" else "minimize"
    )
    with FileLock(f"{file}.gate"):
        try:
            study = optuna.create_study(
                storage=_storage(file),
                study_name=STUDY_NAME,
                direction=direction,
                pruner=_pruner(settings),
                load_if_exists=True,
            )
        except Exception as error:  # each kind of storage has errors of its own
            raise InputError(
                f"{file} is no study that can be opened ({first_line(error)}); choose another "
                "--study"
            ) from error
        stored = study.user_attrs.get(MADE_FROM)
        if stored is None:
            study.set_user_attr(MADE_FROM, dict(made_from))
    known = {} if stored is None else stored
    differing = sorted(key for key in known if known[key] != made_from.get(key))
    if differing:
        raise InputError(
            f"{file} is a study made otherwise ({', '.join(differing)}); choose another --study"
        )
    return SharedStudy(study, file, settings)


def _storage(file: Path) -> BaseStorage:
    if file.is_dir():
        raise MissingInputError(f"{file} is a folder, expected a file")
    file = file.absolute()  # a lock left by a worker that was killed is a link beside it
    if file.suffix in SQLITE:
        # Other workers may hold the file for a moment.
        return RDBStorage(
            f"sqlite:///{file}",
            engine_kwargs={"connect_args": {"timeout": SECONDS_TO_WAIT}},
        )
    if not _is_journal(file):
        raise InputError("expected a journal of Optuna's")  # which would write into it
    _drop_half_a_line(file)
    return JournalStorage(JournalFileBackend(str(file)))


def _drop_half_a_line(file: Path) -> None:
    """Cut off a journal what a worker could not write to its end, as on a full disk."""
    if not _is_torn(file):
        return
    lock = JournalFileSymlinkLock(str(file))  # other workers may be at their next line
    lock.acquire()
    try:
        if _is_torn(file):
            os.truncate(file, file.read_bytes().rfind(b"\n") + 1)
    finally:
        lock.release()


def _is_journal(file: Path) -> bool:
    """Tell whether a file is a journal, or will be one: it is not there, or empty."""
    if not file.is_file():
        return True
    with file.open("rb") as handle:
        return handle.read(len(JOURNAL)) in (b"", JOURNAL)


def _is_torn(file: Path) -> bool:
    """Tell whether a journal ends in the midst of a line."""
    if not file.is_file() or not file.stat().st_size:
        return False
    with file.open("rb") as handle:
        handle.seek(-1, os.SEEK_END)
        return handle.read() != b"\n"


def _pruner(settings: TuneConfig) -> BasePruner:
    first = settings.spared_epochs + 1  # epoch after which a trial may be ended
    match settings.pruner:
        case "median":
            return MedianPruner(n_startup_trials=4, n_warmup_steps=first)
        case "halving":
            return SuccessiveHalvingPruner(min_resource=first)
        case "off":
            return NopPruner()
