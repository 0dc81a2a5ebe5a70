"""The trials, one after another, to be read from top to bottom."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from optuna.exceptions import TrialPruned
from optuna.trial import Trial, TrialState

from sentinode.config import Config, changed
from sentinode.core import hash_json
from sentinode.errors import (
    BusyError,
    DiskFullError,
    InputError,
    MissingExtraError,
    NetworkError,
    SentinodeError,
    TrainingError,
)
from sentinode.models import Run, out_of_memory
from sentinode.tables import PackedSet, Split
from sentinode.train import make_plan, processes, train, weights_behind
from sentinode.tune.results import TuneResult, collect, write_results
from sentinode.tune.space import SECTIONS, Space, check_space, ends
from sentinode.tune.study import FAILURE, SharedStudy, open_study, plain_space

__all__ = ["tune"]

STUDY_FILE = "study.journal"
SECONDS_BETWEEN_LOOKS = 2.0
COLUMN = {"auc": "valid_auc", "loss": "valid_loss"}


def tune(
    packed: PackedSet,
    split: Split,
    config: Config,
    space: Space,
    out: Path,
    *,
    trials: int,
    study: Path | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> TuneResult:
    """Try settings until the study has as many trials as asked for.

    Each trial is an ordinary training on the split's training patches, judged on the validation
    patches; the test patches are never looked at. Started again after any interruption, a study
    goes on with the trial that was cut short; started twice, two processes share it.

    Args:
        packed: The set.
        split: Of this set.
        config: What every trial has in common; its ``tune`` section says how to choose.
        space: Keys and the values each may take.
        out: Folder of the trials' runs and of what is written about them.
        trials: How many the study shall have in all; those ended early and failed ones count.
        study: Where the study is stored, ``.db`` for SQLite, else a journal; by default a journal
            in ``out``.
        tell: Called with a line about each trial.

    Raises:
        ConfigError: A key or value of the space is not possible.
        InputError: The study is of other data or another space.
        TrainingError: No trial could be finished, or the process was started to train together
            with others.
        DiskFullError: The disk is full; what is finished is kept.
    """
    if processes() > 1:
        raise TrainingError(
            "each trial is trained by one process, and these were started to train together; "
            "start the command by itself, as often as there are to be workers (on SLURM as job "
            "steps of one task each)"
        )
    check_space(space, config)
    split.check_belongs(packed.manifest.hash, packed.folder / "split.json")
    made_from = {
        "set": packed.meta.content_hash,
        "split": split.hash,
        "manifest": packed.manifest.hash,
        **weights_behind(config.train),
        "config": {name: getattr(config, name).fingerprint() for name in SECTIONS},
        "objective": config.tune.objective,
        "space": plain_space(space),
    }
    file = study or out / STUDY_FILE
    if fresh := not file.exists():
        _check_some_plan(packed, split, config, space)
    shared = open_study(file, config.tune, made_from)
    if not fresh and len(shared.counted()) < trials:
        _check_some_plan(packed, split, config, space)
    with shared.at_work():
        while (taken := shared.next_trial(space, trials)) is not None:
            number, trial = taken
            tell(f"trial {number} of {trials}: {_said(trial.params)}")
            tell(_tried(trial, shared, packed, split, config, out))
            write_results(out, collect(shared.study, config), config, page=False)
    result = collect(shared.study, config)
    if others := shared.running():
        tell(f"no trial is left to take; other workers are at the last {others}")
        if result.best is None:
            return result
    if result.best is None:
        failures = [t.failure for t in result.trials if t.failure]
        last = f"; the last one: {failures[-1]}" if failures else ""
        raise TrainingError(f"none of {len(result.trials)} trials could be finished{last}")
    write_results(out, result, config, page=True)
    return result


def _check_some_plan(packed: PackedSet, split: Split, config: Config, space: Space) -> None:
    """Refuse what no trial could be trained with, which would use up all of them."""
    refused: SentinodeError | None = None
    for end in (None, 0, -1):  # the configuration itself may lack what is tried
        values = {} if end is None else {key: ends(v)[end] for key, v in space.items()}
        try:
            make_plan(packed, split, changed(config, values))
        except SentinodeError as error:
            refused = refused or error
        else:
            return
    assert refused is not None
    raise refused


def _tried(
    trial: Trial, shared: SharedStudy, packed: PackedSet, split: Split, config: Config, out: Path
) -> str:
    """Train once and write down how it went; return a line about it."""
    objective = config.tune.objective
    study = shared.study
    folder = out / "trials" / "unknown"
    reported: set[int] = set()

    def report(row: Mapping[str, float]) -> None:
        epoch = int(row["epoch"])
        if epoch not in reported:
            reported.add(epoch)
            trial.report(row[COLUMN[objective]], epoch)

    def after_epoch(row: Mapping[str, float]) -> None:
        report(row)
        if trial.should_prune():
            raise TrialPruned

    try:
        settings = changed(config, trial.params)
        folder = out / "trials" / trial_name(settings, packed, split)
        run = _trained(packed, split, settings, folder, after_epoch)
    except TrialPruned:
        shutil.rmtree(folder, ignore_errors=True)
        study.tell(trial, state=TrialState.PRUNED)
        return "ended early: it lies behind the others"
    except (DiskFullError, MissingExtraError, NetworkError):  # no trial would escape it
        raise
    except (SentinodeError, RuntimeError, MemoryError) as error:
        why = _why_it_failed(error)
        if not isinstance(error, InputError):  # it may be the machine's, and what is there be good
            shutil.rmtree(folder, ignore_errors=True)
        trial.set_user_attr(FAILURE, why)
        study.tell(trial, state=TrialState.FAIL)
        return f"failed: {why}"
    value = run.record.metrics[COLUMN[objective]]  # of the weights that are kept
    for row in run.history().to_dict("records"):  # of a run that was finished before
        report({str(name): figure for name, figure in row.items()})
    trial.set_user_attr("run", folder.name)
    trial.set_user_attr("epochs", len(run.history()))
    study.tell(trial, value)
    return f"validation {objective} {value:.4f}; best so far {study.best_value:.4f}"


def _why_it_failed(error: SentinodeError | RuntimeError | MemoryError) -> str:
    """Say what is wrong with a trial's settings; raise what is a defect."""
    if isinstance(error, SentinodeError):
        return str(error)
    if not out_of_memory(error):
        raise error
    return "memory ran out"


def _trained(
    packed: PackedSet,
    split: Split,
    settings: Config,
    folder: Path,
    after_epoch: Callable[[Mapping[str, float]], None],
) -> Run:
    """Train, once another worker that drew the same values is done with them."""
    while True:
        try:
            return train(packed, split, settings, folder, after_epoch=after_epoch)
        except BusyError:
            time.sleep(SECONDS_BETWEEN_LOOKS)


def trial_name(settings: Config, packed: PackedSet, split: Split) -> str:
    """Return the name of a trial's run folder, the same for the same settings and patches."""
    shaping = {name: getattr(settings, name).fingerprint() for name in SECTIONS}
    patches = {
        "set": packed.meta.content_hash,
        "split": split.hash,
        "manifest": packed.manifest.hash,
    }
    return hash_json(shaping | weights_behind(settings.train) | patches)[:12]


def _said(params: Mapping[str, object]) -> str:
    return ", ".join(
        f"{key} = {value:.4g}" if isinstance(value, float) else f"{key} = {value}"
        for key, value in params.items()
    )
