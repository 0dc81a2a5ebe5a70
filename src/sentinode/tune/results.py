"""What came of a study: a table of the trials, the best configuration, and a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

import optuna
import pandas as pd
from optuna.importance import get_param_importances
from optuna.trial import FrozenTrial, TrialState

from sentinode.config import Config, changed, resolved_toml
from sentinode.core import write_text
from sentinode.tune.page import tune_page
from sentinode.tune.study import FAILURE, INTERRUPTED

__all__ = ["BEST_FILE", "PAGE_FILE", "TRIALS_FILE", "TuneResult", "collect", "write_results"]

TRIALS_FILE, BEST_FILE, PAGE_FILE = "trials.csv", "best.toml", "tune.html"
ENOUGH = 4
"""Finished trials below which an importance would say nothing."""
SECTIONS = ("model", "train", "augment")


@final
@dataclass(frozen=True)
class TuneTrial:
    """One trial.

    Attributes:
        number: From 1, in the order they began; those cut short and tried again are left out.
        state: ``complete``, ``pruned`` (ended early) or ``failed``.
        value: Of the objective, of the kept epoch's weights; None where it was not finished.
        curve: The objective after each epoch.
        params: Values by key.
        run: Name of its run folder, empty where there is none.
        failure: Why it failed, empty where it did not.
    """

    number: int
    state: Literal["complete", "pruned", "failed"]
    value: float | None
    curve: tuple[float, ...]
    params: Mapping[str, Any]
    run: str
    failure: str


@final
@dataclass(frozen=True)
class TuneResult:
    """A study as it stands.

    Attributes:
        objective: ``auc`` or ``loss``, on validation patches.
        trials: All that are finished.
        best: The best of them, None where none was finished.
        importance: By key, summing to 1; empty below four finished trials.
        logarithmic: Keys drawn on a logarithmic scale.
        config: The configuration with the best trial's values; None where there is none.
    """

    objective: Literal["auc", "loss"]
    trials: tuple[TuneTrial, ...]
    best: TuneTrial | None
    importance: Mapping[str, float]
    logarithmic: frozenset[str]
    config: Config | None


def collect(study: optuna.Study, config: Config) -> TuneResult:
    """Read a study.

    Args:
        study: Optuna's study.
        config: What every trial has in common.
    """
    finished = [
        t
        for t in study.get_trials(deepcopy=False)
        if t.state.is_finished() and not t.user_attrs.get(INTERRUPTED)
    ]
    trials = tuple(_trial(number, t) for number, t in enumerate(finished, 1))
    done = [t for t in trials if t.value is not None]
    sign = 1 if config.tune.objective == "loss" else -1
    best = min(done, key=lambda t: sign * (t.value or 0.0)) if done else None
    return TuneResult(
        objective=config.tune.objective,
        trials=trials,
        best=best,
        importance=_importance(study, done),
        logarithmic=frozenset(
            key
            for trial in finished
            for key, values in trial.distributions.items()
            if getattr(values, "log", False)
        ),
        config=changed(config, best.params) if best else None,
    )


def write_results(out: Path, result: TuneResult, config: Config, *, page: bool) -> None:
    """Write the table, the best configuration and, where asked for, the page.

    Args:
        out: Folder.
        result: Of :func:`collect`.
        config: What every trial has in common.
        page: Whether to draw the page as well.
    """
    table = pd.DataFrame(
        {
            "trial": t.number,
            "state": t.state,
            result.objective: t.value,
            "epochs": len(t.curve),
            **t.params,
            "run": t.run,
            "failure": t.failure,
        }
        for t in result.trials
    )
    write_text(out / TRIALS_FILE, table.to_csv(index=False, lineterminator="\n"))
    if result.best is None or result.config is None:
        return
    said = (
        f"# Trial {result.best.number} of {len(result.trials)}: validation {result.objective} "
        f"{result.best.value:.4f}. Research use only.\n"
    )
    write_text(out / BEST_FILE, said + resolved_toml(result.config, SECTIONS))
    if page:
        write_text(out / PAGE_FILE, tune_page(result, config))


def _trial(number: int, trial: FrozenTrial) -> TuneTrial:
    states: dict[TrialState, Literal["complete", "pruned", "failed"]] = {
        TrialState.COMPLETE: "complete",
        TrialState.PRUNED: "pruned",
        TrialState.FAIL: "failed",
    }
    complete = trial.state == TrialState.COMPLETE
    return TuneTrial(
        number=number,
        state=states[trial.state],
        value=trial.value if complete else None,
        curve=tuple(value for _, value in sorted(trial.intermediate_values.items())),
        params=dict(sorted(trial.params.items())),
        run=trial.user_attrs.get("run", ""),
        failure=trial.user_attrs.get(FAILURE, ""),
    )


def _importance(study: optuna.Study, done: list[TuneTrial]) -> dict[str, float]:
    """Return the share of the objective's spread that each key explains (PED-ANOVA).

    Watanabe et al., IJCAI 2023.
    """
    if len(done) < ENOUGH or len({t.value for t in done}) == 1:
        return {}
    return {key: float(share) for key, share in get_param_importances(study).items()}
