"""The trials, one after another, to be read from top to bottom."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from optuna.exceptions import TrialPruned
from optuna.trial import Trial, TrialState

from sentinode.config import Config, changed
from sentinode.core import hash_json
from sentinode.errors import (
    BusyError,
    DiskFullError,
    MissingExtraError,
    NetworkError,
    SentinodeError,
    TrainingError,
)
from sentinode.models import out_of_memory
from sentinode.tables import PackedSet, Split
from sentinode.train import train, weights_behind
from sentinode.tune.results import TuneResult, collect, write_results
from sentinode.tune.space import SECTIONS, Space, check_space
from sentinode.tune.study import CURVE, FAILURE, SharedStudy, open_study, plain_space

__all__ = ["tune"]

STUDY_FILE = "study.journal"
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
        TrainingError: No trial could be finished.
        DiskFullError: The disk is full; what is finished is kept.
    """
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
    shared = open_study(study or out / STUDY_FILE, config.tune, made_from)
    with shared.at_work():
        while (trial := shared.next_trial(space, trials)) is not None:
            tell(f"trial {len(shared.counted()) + 1} of {trials}: {_said(trial.params)}")
            tell(_tried(trial, shared, packed, split, config, out))
            write_results(out, collect(shared.study, config), config, page=False)
    result = collect(shared.study, config)
    if result.best is None:
        failures = [t.failure for t in result.trials if t.failure]
        last = f"; the last one: {failures[-1]}" if failures else ""
        raise TrainingError(f"none of {len(result.trials)} trials could be finished{last}")
    write_results(out, result, config, page=True)
    return result


def _tried(
    trial: Trial, shared: SharedStudy, packed: PackedSet, split: Split, config: Config, out: Path
) -> str:
    """Train once and write down how it went; return a line about it."""
    objective = config.tune.objective
    study = shared.study
    folder = out / "trials" / "unknown"
    reported: dict[str, float] = trial.user_attrs.get(CURVE, {})  # before it was cut short
    for epoch, value in reported.items():
        trial.report(value, int(epoch))

    def after_epoch(row: Mapping[str, float]) -> None:
        epoch = int(row["epoch"])
        if str(epoch) not in reported:
            trial.report(row[COLUMN[objective]], epoch)
        if trial.should_prune():
            raise TrialPruned

    try:
        settings = changed(config, trial.params)
        folder = out / "trials" / trial_name(settings, packed, split)
        run = train(packed, split, settings, folder, after_epoch=after_epoch)
    except TrialPruned:
        shutil.rmtree(folder, ignore_errors=True)
        study.tell(trial, state=TrialState.PRUNED)
        return "ended early: it lies behind the others"
    except (DiskFullError, MissingExtraError, NetworkError):  # no trial would escape it
        raise
    except (SentinodeError, RuntimeError, MemoryError) as error:
        told = isinstance(error, SentinodeError)
        if not told and not out_of_memory(error):
            raise
        if not isinstance(error, BusyError):
            shutil.rmtree(folder, ignore_errors=True)
        why = str(error) if told else "memory ran out"
        trial.set_user_attr(FAILURE, why)
        study.tell(trial, state=TrialState.FAIL)
        return f"failed: {why}"
    value = run.record.metrics[COLUMN[objective]]  # of the weights that are kept
    trial.set_user_attr("run", folder.name)
    trial.set_user_attr("epochs", len(run.history()))
    study.tell(trial, value)
    return f"validation {objective} {value:.4f}; best so far {study.best_value:.4f}"


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
