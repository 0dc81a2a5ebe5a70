"""The stage: predictions in, report out."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd

from sentinode.config import EvaluateConfig
from sentinode.core import Progress, provenance
from sentinode.evaluate.groups import examples_of, group_rows, worst_said
from sentinode.evaluate.honesty import cautions, headline, optimism
from sentinode.evaluate.origin import input_hashes, origins, read_run
from sentinode.evaluate.rows import gather, left_out, rows_of, select, units_of
from sentinode.evaluate.scores import Scored, operating_point, overall_figures, reliability_bins
from sentinode.metrics import (
    CurvePoints,
    Ranking,
    bootstrap,
    choose_threshold,
    pr_curve,
    reliability,
    roc_curve,
)
from sentinode.tables import Curve, Histogram, PackedSet, Predictions, Report, Split

__all__ = ["evaluate"]

CURVE_POINTS = 400
HISTOGRAM_BINS = 40
RULES_SAID = {
    "youden": "largest sensitivity plus specificity (Youden)",
    "accuracy": "most patches right",
    "sensitivity": "highest threshold with sensitivity of at least {target:.1%}",
    "cost": "least cost, a miss costing {cost:g} false alarms",
}


def evaluate(
    predictions: Predictions,
    config: EvaluateConfig,
    *,
    packed: PackedSet | None = None,
    split: Split | None = None,
    run_folder: Path | None = None,
) -> Report:
    """Score predictions.

    Args:
        predictions: Of any network, with labels unless ``packed`` has them.
        config: Rule of the threshold, intervals, examples.
        packed: The set they were made of: labels, slides, what was left out, example patches.
        split: Its split: which patches are reported and which chose.
        run_folder: The run that made the network: its training curves and provenance.

    Raises:
        InputError: No row has a label, or the tables contradict each other.
        MissingInputError: ``run_folder`` is no run folder.
    """
    if packed is not None and split is not None:
        split.check_belongs(packed.manifest.hash, packed.folder / "split.json")
    frame = gather(predictions, packed, split)
    selection = select(frame)
    reported = frame[selection.reported].reset_index(drop=True)
    rows = rows_of(frame, selection)
    units, unit, unit_said = units_of(reported)
    scored = _scored(reported, units, unit, config)
    threshold, rule, said = _threshold(frame[selection.valid], config)
    with Progress("intervals", config.resamples, "resamples") as progress:
        draws = bootstrap(
            scored.labels,
            scored.probabilities,
            units,
            {"chosen": threshold, "half": 0.5},
            resamples=config.resamples,
            seed=config.seed,
            on_done=progress.advance,
        )
    groups = {
        kind: group_rows(reported[kind], scored, threshold)
        for kind in ("slide", "centre")
        if reported[kind].notna().any()
    }
    story = read_run(run_folder) if run_folder is not None else None
    optimistic = optimism(frame, selection, split)
    missing = left_out(frame, selection, packed, split)
    ranking = Ranking.of(scored.labels, scored.probabilities)
    return Report(
        headline=headline(rows, optimistic, split, frame),
        optimistic=optimistic,
        warnings=tuple(cautions(rows, scored.n_units, unit, split, story, missing)),
        rows=rows,
        unit=unit,
        units=scored.n_units,
        unit_said=unit_said,
        confidence=config.confidence,
        overall=overall_figures(scored, draws),
        at={
            "chosen": operating_point(scored, draws, "chosen", threshold, rule, said),
            "half": operating_point(scored, draws, "half", 0.5, "half", "0.5, chosen on nothing."),
        },
        curves=_curves(ranking),
        reliability={
            binning: reliability_bins(
                reliability(scored.labels, scored.probabilities, binning), config.confidence
            )
            for binning in ("width", "mass")
        },
        histogram=_histogram(scored),
        groups=groups,
        worst={kind: worst_said(kind, table) for kind, table in groups.items()},
        left_out=missing,
        examples=examples_of(reported, scored, threshold, config.examples),
        training=story.training if story is not None else None,
        origins=origins(predictions, packed, split, story),
        provenance=provenance(
            "evaluate",
            config=config.settings(),
            inputs=input_hashes(predictions, packed, split, story),
            seeds={"resamples": config.seed},
        ),
    )


def _scored(reported: pd.DataFrame, units: np.ndarray, unit: str, config: EvaluateConfig) -> Scored:
    return Scored(
        labels=(reported["label"] == 1).to_numpy(bool),
        probabilities=reported["probability"].to_numpy("float64"),
        units=units,
        unit=unit,
        confidence=config.confidence,
    )


def _threshold(valid: pd.DataFrame, config: EvaluateConfig) -> tuple[float, str, str]:
    """Return the threshold, the rule that gave it, and how it was chosen in a sentence."""
    rule = config.threshold
    if rule == "half":
        return 0.5, "half", "0.5, chosen on nothing."
    if not len(valid):
        return 0.5, "half", "0.5, since there are no labelled validation patches to choose on."
    chosen = choose_threshold(
        rule,
        (valid["label"] == 1).to_numpy(bool),
        valid["probability"].to_numpy("float64"),
        sensitivity=config.target_sensitivity,
        miss_cost=config.miss_cost,
    )
    if chosen is None:
        return 0.5, "half", "0.5, since the validation patches are of one class or all score alike."
    aim = RULES_SAID[rule].format(target=config.target_sensitivity, cost=config.miss_cost)
    said = (
        f"{chosen:.3f}, chosen on {len(valid):,} validation patches, none of them reported: {aim}."
    )
    return chosen, rule, said


def _curves(ranking: Ranking) -> dict[str, Curve]:
    if not ranking.tumour.any():
        return {}
    curves = {"pr": _curve(pr_curve(ranking))}
    if not ranking.tumour.all():
        curves["roc"] = _curve(roc_curve(ranking))
    return curves


def _curve(points: CurvePoints) -> Curve:
    thin = points.thinned(CURVE_POINTS)
    return Curve(
        x=tuple(round(float(v), 6) for v in thin.x),
        y=tuple(round(float(v), 6) for v in thin.y),
        threshold=tuple(float(v) if math.isfinite(v) else None for v in thin.threshold),
    )


def _histogram(rows: Scored) -> Histogram:
    edges = np.linspace(0.0, 1.0, HISTOGRAM_BINS + 1)
    tumour, _ = np.histogram(rows.probabilities[rows.labels], edges)
    normal, _ = np.histogram(rows.probabilities[~rows.labels], edges)
    return Histogram(
        edges=tuple(map(float, edges)),
        tumour=tuple(map(int, tumour)),
        normal=tuple(map(int, normal)),
    )
