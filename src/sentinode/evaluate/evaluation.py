"""The stage: predictions in, report out."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd

from sentinode.config import EvaluateConfig
from sentinode.core import Progress, provenance
from sentinode.evaluate.groups import examples_of, group_rows, worst_said
from sentinode.evaluate.honesty import cautions, foreign, headline, optimism
from sentinode.evaluate.origin import input_hashes, origins, read_run
from sentinode.evaluate.rows import gather, left_out, rows_of, select, units_of
from sentinode.evaluate.scores import Scored, operating_point, overall_figures, reliability_bins
from sentinode.metrics import (
    Binning,
    CurvePoints,
    Draws,
    Ranking,
    bootstrap,
    choose_threshold,
    pr_curve,
    reliability,
    roc_curve,
)
from sentinode.tables import Bin, Curve, GroupRow, Histogram, PackedSet, Predictions, Report, Split

__all__ = ["evaluate"]

CURVE_POINTS = 400
HISTOGRAM_BINS = 40
NOT_CHOSEN = "0.5, chosen on nothing."
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
        InputError: No row has a label, the tables contradict each other, or the run is not the
            one that made the predictions.
        MissingInputError: ``run_folder`` is no run folder.
    """
    if packed is not None and split is not None:
        split.check_belongs(packed.manifest.hash, packed.folder / "split.json")
    story = read_run(run_folder, predictions) if run_folder is not None else None
    frame = gather(predictions, packed, split)
    selection = select(frame)
    reported = frame[selection.reported].reset_index(drop=True)
    rows = rows_of(frame, selection)
    scored, unit_said = _scored(reported, config)
    threshold, rule, said = _threshold(frame[selection.valid], config)
    draws = _draws(scored, {"chosen": threshold, "half": 0.5}, config)
    groups = _groups(reported, scored, threshold)
    strange = foreign(packed, split, story)
    own_split = None if strange else split
    optimistic = optimism(frame, selection, own_split)
    missing = left_out(frame, selection, packed, split)
    return Report(
        headline=headline(rows, optimistic, own_split, frame, strange),
        optimistic=optimistic,
        warnings=tuple(cautions(rows, scored.n_units, scored.unit, own_split, missing)),
        rows=rows,
        unit=scored.unit,
        units=scored.n_units,
        unit_said=unit_said,
        confidence=config.confidence,
        overall=overall_figures(scored, draws),
        at={
            "chosen": operating_point(scored, draws, "chosen", threshold, rule, said),
            "half": operating_point(scored, draws, "half", 0.5, "half", NOT_CHOSEN),
        },
        curves=_curves(scored),
        reliability=_reliability(scored),
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


def _scored(reported: pd.DataFrame, config: EvaluateConfig) -> tuple[Scored, str]:
    """Return the reported rows as arrays, and what their intervals resample in a sentence."""
    units, unit, said = units_of(reported)
    scored = Scored(
        labels=(reported["label"] == 1).to_numpy(bool),
        probabilities=reported["probability"].to_numpy("float64"),
        units=units,
        unit=unit,
        confidence=config.confidence,
    )
    return scored, said


def _draws(scored: Scored, thresholds: dict[str, float], config: EvaluateConfig) -> Draws:
    with Progress("intervals", config.resamples, "resamples") as progress:
        return bootstrap(
            scored.labels,
            scored.probabilities,
            scored.units,
            thresholds,
            resamples=config.resamples,
            seed=config.seed,
            on_done=progress.advance,
        )


def _groups(
    reported: pd.DataFrame, scored: Scored, threshold: float
) -> dict[str, tuple[GroupRow, ...]]:
    return {
        kind: group_rows(reported[kind], scored, threshold)
        for kind in ("slide", "centre")
        if reported[kind].notna().any()
    }


def _reliability(scored: Scored) -> dict[str, tuple[Bin, ...]]:
    y, p = scored.labels, scored.probabilities
    binnings: tuple[Binning, ...] = ("width", "mass")
    return {b: reliability_bins(reliability(y, p, b), scored.confidence) for b in binnings}


def _threshold(valid: pd.DataFrame, config: EvaluateConfig) -> tuple[float, str, str]:
    """Return the threshold, the rule that gave it, and how it was chosen in a sentence."""
    rule = config.threshold
    if rule == "half":
        return 0.5, "half", NOT_CHOSEN
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


def _curves(scored: Scored) -> dict[str, Curve]:
    ranking = Ranking.of(scored.labels, scored.probabilities)
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
