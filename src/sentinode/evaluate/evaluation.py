"""The stage: predictions in, report out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from sentinode.config import EvaluateConfig
from sentinode.core import Progress, provenance
from sentinode.evaluate.calibrated import (
    calibration_cautions,
    conformal_cautions,
    saturation_cautions,
    shift_cautions,
    uncalibrated,
)
from sentinode.evaluate.groups import examples_of, group_rows, worst_said
from sentinode.evaluate.honesty import UNKNOWN, UNTOLD, cautions, foreign, headline, optimism
from sentinode.evaluate.origin import input_hashes, origins, read_run
from sentinode.evaluate.reliance import Reliance, decision_of, prevalence_rows
from sentinode.evaluate.rows import gather, left_out, rows_of, select, units_of
from sentinode.evaluate.scores import Scored, operating_point, overall_figures, reliability_of
from sentinode.evaluate.stains import StainClusters, cluster_stains, stain_colours
from sentinode.metrics import (
    BoolArray,
    CurvePoints,
    Draws,
    FloatArray,
    IntArray,
    Ranking,
    bootstrap,
    choose_threshold,
    pr_curve,
    roc_curve,
)
from sentinode.tables import (
    Curve,
    GroupRow,
    Histogram,
    PackedSet,
    Predictions,
    Report,
    Split,
    StainLook,
)

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
    centres: Mapping[str, str] | None = None,
) -> Report:
    """Score predictions.

    Args:
        predictions: Of any network, with labels unless ``packed`` has them.
        config: Rule of the threshold, intervals, examples.
        packed: The set they were made of: labels, slides, what was left out, example patches.
        split: Its split: which patches are reported and which chose.
        run_folder: The run that made the network: its training curves and provenance.
        centres: Id -> centre, where the set does not know it.

    Raises:
        InputError: No row has a label, the tables contradict each other, or the run is not the
            one that made the predictions.
        MissingInputError: ``run_folder`` is no run folder.
    """
    if packed is not None and split is not None:
        split.check_belongs(packed.manifest.hash, packed.folder / "split.json")
    story = read_run(run_folder, predictions) if run_folder is not None else None
    frame = gather(predictions, packed, split, centres)
    selection = select(frame)
    reported = frame[selection.reported].reset_index(drop=True)
    rows = rows_of(frame, selection)
    scored, unit_said = _scored(reported, config)
    valid = _arrays(frame[selection.valid])
    slides = _slides(reported, frame[selection.valid])
    threshold, rule, said = _threshold(valid, config)
    reliance = Reliance.of(scored, threshold, valid, config.coverages, config.seed)
    draws = _draws(scored, {"chosen": threshold, "half": 0.5}, reliance, config)
    stains = _stains(reported, packed, config)
    groups = _groups(reported, stains, scored, threshold)
    overall = overall_figures(scored, draws)
    at = {
        "chosen": operating_point(scored, draws, "chosen", threshold, rule, said),
        "half": operating_point(scored, draws, "half", 0.5, "half", NOT_CHOSEN),
    }
    before, conformal = uncalibrated(reported, scored, predictions.note), reliance.conformal(draws)
    strange = foreign(packed, split, story, predictions.note)
    own_split = split if strange in (None, UNKNOWN, UNTOLD) else None
    optimistic = optimism(frame, selection, own_split)
    missing = left_out(frame, selection, packed, split, predictions.note)
    return Report(
        headline=headline(rows, optimistic, own_split, frame, strange, predictions.note),
        optimistic=optimistic,
        warnings=(
            *cautions(rows, scored.n_units, scored.unit, own_split, missing),
            *saturation_cautions(reported, scored),
            *shift_cautions(scored, valid, slides, config.seed),
            *calibration_cautions(before, overall, rows.fold, elsewhere=own_split is not split),
            *conformal_cautions(
                conformal, reliance.fitted, config.confidence, _counts(slides, valid, scored)
            ),
        ),
        rows=rows,
        unit=scored.unit,
        units=scored.n_units,
        unit_said=unit_said,
        confidence=config.confidence,
        overall=overall,
        at=at,
        curves=_curves(scored),
        reliability=reliability_of(scored),
        histogram=_histogram(scored),
        groups=groups,
        worst={kind: worst_said(kind, table) for kind, table in groups.items()},
        left_out=missing,
        examples=examples_of(reported, scored, threshold, config.examples),
        training=story.training if story is not None else None,
        stains=_looks(stains),
        stains_said=stains.said if stains is not None else None,
        prevalence=prevalence_rows(config.prevalences, at, draws, scored),
        decision=decision_of(scored),
        abstention=reliance.abstention(draws),
        conformal=conformal,
        uncalibrated=before,
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


def _arrays(rows: pd.DataFrame) -> tuple[BoolArray, FloatArray]:
    """Return labels and probabilities of labelled rows, (M,) each."""
    return (rows["label"] == 1).to_numpy(bool), rows["probability"].to_numpy("float64")


def _slides(reported: pd.DataFrame, valid: pd.DataFrame) -> tuple[IntArray, IntArray] | None:
    """Return the codes of their slides, None where one is not known or there are no such rows."""
    if not len(valid) or reported["slide"].isna().any() or valid["slide"].isna().any():
        return None
    here, there = (pd.factorize(rows["slide"])[0].astype(np.int64) for rows in (reported, valid))
    return here, there


def _counts(
    slides: tuple[IntArray, IntArray] | None, valid: tuple[BoolArray, FloatArray], scored: Scored
) -> tuple[int, int] | None:
    """Return how many slides conformal sets are checked and fitted on, None where not known."""
    if slides is not None:
        return int(slides[0].max()) + 1, int(slides[1].max()) + 1
    halves = scored.unit == "slides" and not len(valid[0])
    return (scored.n_units, scored.n_units) if halves else None


def _draws(
    scored: Scored, thresholds: dict[str, float], reliance: Reliance, config: EvaluateConfig
) -> Draws:
    with Progress("intervals", config.resamples, "resamples") as progress:
        return bootstrap(
            scored.labels,
            scored.probabilities,
            scored.units,
            thresholds,
            resamples=config.resamples,
            seed=config.seed,
            terms=reliance.terms,
            on_done=progress.advance,
        )


def _stains(
    reported: pd.DataFrame, packed: PackedSet | None, config: EvaluateConfig
) -> StainClusters | None:
    """Group the reported rows by stain where all of them are in the set."""
    if packed is None or config.stains < 2 or reported["row"].isna().any():
        return None
    return cluster_stains(packed, reported["row"].to_numpy("int64"), config.stains, config.seed)


def _looks(stains: StainClusters | None) -> dict[str, StainLook]:
    if stains is None:
        return {}
    return {name: StainLook(**stain_colours(look)) for name, look in stains.looks.items()}


def _groups(
    reported: pd.DataFrame, stains: StainClusters | None, scored: Scored, threshold: float
) -> dict[str, tuple[GroupRow, ...]]:
    names = {kind: reported[kind] for kind in ("slide", "centre")}
    if stains is not None:
        names["stain"] = stains.names
    return {
        kind: group_rows(of, scored, threshold) for kind, of in names.items() if of.notna().any()
    }


def _threshold(
    valid: tuple[BoolArray, FloatArray], config: EvaluateConfig
) -> tuple[float, str, str]:
    """Return the threshold, the rule that gave it, and how it was chosen in a sentence."""
    rule = config.threshold
    if rule == "half":
        return 0.5, "half", NOT_CHOSEN
    labels, probabilities = valid
    if not len(labels):
        return 0.5, "half", "0.5, since there are no labelled validation patches to choose on."
    chosen = choose_threshold(
        rule,
        labels,
        probabilities,
        sensitivity=config.target_sensitivity,
        miss_cost=config.miss_cost,
    )
    if chosen is None:
        return 0.5, "half", "0.5, since the validation patches are of one class or all score alike."
    aim = RULES_SAID[rule].format(target=config.target_sensitivity, cost=config.miss_cost)
    said = (
        f"{chosen:.3f}, chosen on {len(labels):,} validation patches, none of them reported: {aim}."
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
