"""Figures of each slide, centre and stain cluster, the worst named, and patches to look at."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from sentinode.evaluate.scores import Scored
from sentinode.metrics import confusion_counts, count_metrics, roc_auc
from sentinode.tables import Example, ExampleKind, GroupRow

__all__ = ["examples_of", "group_rows", "worst_said"]

ENOUGH_PATCHES = 20


def group_rows(names: pd.Series, rows: Scored, threshold: float) -> tuple[GroupRow, ...]:
    """Return one row for each name, the largest share of wrong patches first.

    Groups of fewer than 20 patches come last, since one patch moves their share too far.

    Args:
        names: Slide, centre or stain of each reported patch, (N,), null where not known.
        rows: The reported rows.
        threshold: The chosen one.
    """
    codes, unique = pd.factorize(names)
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(len(unique) + 1))
    table = [
        _row(str(name), rows, order[bounds[i] : bounds[i + 1]], threshold)
        for i, name in enumerate(unique)
    ]
    return tuple(
        sorted(table, key=lambda r: (r.patches < ENOUGH_PATCHES, r.accuracy or 0.0, r.name))
    )


def _row(name: str, rows: Scored, at: np.ndarray, threshold: float) -> GroupRow:
    y, p = rows.labels[at], rows.probabilities[at]
    counts = confusion_counts(y, p, threshold)
    metrics = {k: _none_if_nan(float(v)) for k, v in count_metrics(counts).items()}
    ends = binomtest(int(counts[0] + counts[2]), len(at)).proportion_ci(
        rows.confidence, method="wilson"
    )
    return GroupRow(
        name=name,
        patches=len(at),
        tumour=int(y.sum()),
        roc_auc=_none_if_nan(roc_auc(y, p)),
        accuracy=metrics["accuracy"],
        accuracy_low=float(ends.low),
        accuracy_high=float(ends.high),
        sensitivity=metrics["sensitivity"],
        specificity=metrics["specificity"],
        misses=int(counts[3]),
        false_alarms=int(counts[1]),
    )


def _none_if_nan(value: float) -> float | None:
    return None if math.isnan(value) else value


def worst_said(kind: str, table: tuple[GroupRow, ...]) -> str:
    """Name the group with the largest share of wrong patches, in a sentence."""
    worst = table[0]
    wrong = worst.misses + worst.false_alarms
    patches = sum(row.patches for row in table)
    all_wrong = sum(row.misses + row.false_alarms for row in table)
    enough = "" if worst.patches < ENOUGH_PATCHES else f" of at least {ENOUGH_PATCHES} patches"
    one = {"stain": "stain cluster"}.get(kind, kind)
    chance = ""
    if worst.accuracy_high is not None and 1 - worst.accuracy_high <= all_wrong / patches:
        chance = "; no more than chance can explain"
    return (
        f"Worst {one}{enough}: {worst.name}, {wrong:,} of {worst.patches:,} patches wrong "
        f"({wrong / worst.patches:.1%}); over all {one}s {all_wrong / patches:.1%}{chance}."
    )


def examples_of(
    reported: pd.DataFrame, rows: Scored, threshold: float, n: int
) -> tuple[Example, ...]:
    """Return up to ``n`` patches of each kind, the most telling first.

    Right and wrong ones by how certain the network was, the unsure ones by how near the
    threshold; equal ones in the order of their ids.
    """
    y, p = rows.labels, rows.probabilities
    called = p >= threshold
    kinds: dict[ExampleKind, tuple[np.ndarray, np.ndarray]] = {
        "missed": (y & ~called, p),
        "false_alarm": (~y & called, -p),
        "unsure": (np.ones(len(y), np.bool_), np.abs(p - threshold)),
        "right_tumour": (y & called, -p),
        "right_normal": (~y & ~called, p),
    }
    ids = reported["id"].to_numpy(str)
    found: list[Example] = []
    for kind, (which, key) in kinds.items():
        among = np.flatnonzero(which)
        first = among[np.lexsort((ids[among], key[among]))][:n]
        found += [_example(kind, reported.iloc[int(i)], float(p[i])) for i in first]
    return tuple(found)


def _example(kind: ExampleKind, row: pd.Series, probability: float) -> Example:
    return Example(
        kind=kind,
        id=str(row["id"]),
        label=int(row["label"]),
        probability=probability,
        slide=None if pd.isna(row["slide"]) else str(row["slide"]),
        row=None if pd.isna(row["row"]) else int(row["row"]),
    )
