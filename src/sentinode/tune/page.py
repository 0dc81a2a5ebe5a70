"""A study as one page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from sentinode.config import Config, resolved_toml
from sentinode.plots import render
from sentinode.tune.figures import (
    curves_figure,
    history_figure,
    importance_figure,
    values_figure,
)

if TYPE_CHECKING:
    from sentinode.tune.results import TuneResult, TuneTrial

__all__ = ["tune_page"]

LABELS = {"auc": "Validation ROC AUC", "loss": "Validation log-loss"}
STATES = {"complete": "finished", "pruned": "ended early", "failed": "failed"}


def tune_page(result: TuneResult, config: Config) -> str:
    """Return a study as one self-contained HTML page.

    Args:
        result: With a best trial.
        config: What every trial has in common.
    """
    best = result.best
    if best is None or result.config is None:
        raise ValueError("a page needs a finished trial")
    label = LABELS[result.objective]
    keys = list(result.importance) or sorted(best.params)
    counts = {state: sum(t.state == state for t in result.trials) for state in STATES}
    return render(
        "tune.html",
        label=label,
        best=best,
        best_value=f"{best.value:.4f}",
        counts={STATES[state]: count for state, count in counts.items()},
        total=len(result.trials),
        history=Markup(history_figure(result.trials, label, higher=result.objective == "auc")),
        curves=Markup(curves_figure(result.trials, best.number, label)),
        importance=Markup(importance_figure(result.importance)) if result.importance else None,
        values=[
            Markup(
                values_figure(
                    result.trials, k, best.number, label, logarithmic=k in result.logarithmic
                )
            )
            for k in keys
        ],
        best_values={key: _cell(value) for key, value in best.params.items()},
        keys=sorted(best.params),
        rows=[_row(t, sorted(best.params)) for t in _ranked(result)],
        toml=resolved_toml(result.config, ("model", "train", "augment")),
        settings=list(config.tune.settings().items()),
    )


def _ranked(result: TuneResult) -> list[TuneTrial]:
    """Return the finished trials from the best on, then the others."""
    sign = 1 if result.objective == "loss" else -1
    done = [t for t in result.trials if t.value is not None]
    rest = [t for t in result.trials if t.value is None]
    return sorted(done, key=lambda t: sign * (t.value or 0.0)) + rest


def _row(trial: TuneTrial, keys: list[str]) -> dict[str, Any]:
    return {
        "number": trial.number,
        "value": "" if trial.value is None else f"{trial.value:.4f}",
        "state": STATES[trial.state],
        "epochs": len(trial.curve) or "",
        "failure": trial.failure,
        "cells": [_cell(trial.params.get(key, "")) for key in keys],
    }


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
