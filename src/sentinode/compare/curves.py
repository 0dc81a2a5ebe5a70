"""Learning curves: groups that are alike in all but the number of patches that taught them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sentinode.compare.candidates import Candidate
from sentinode.compare.result import CurvePoint, GroupRow, RunRow
from sentinode.compare.rows import recipe_of
from sentinode.core import hash_json

__all__ = ["curves_of", "per_doubling"]


def curves_of(
    groups: Mapping[str, Sequence[Candidate]], rows: Sequence[GroupRow], runs: Sequence[RunRow]
) -> list[CurvePoint]:
    """Return the points of every curve of two sizes or more, by curve and size."""
    by_key: dict[str, list[CurvePoint]] = {}
    for row in rows:
        run = groups[row.name][0].run
        patches = None if run is None else run.trained_on()
        if run is None or patches is None or row.auc.value is None:
            continue
        key = hash_json(recipe_of(run))
        aucs = [r.auc.value for r in runs if r.group == row.name and r.auc.value is not None]
        by_key.setdefault(key, []).append(
            CurvePoint(
                curve=run.spec.name,
                group=row.name,
                patches=patches,
                auc=row.auc.value,
                low=row.auc.low,
                high=row.auc.high,
                runs=tuple(aucs),
            )
        )
    whole = [p for p in by_key.values() if len({point.patches for point in p}) > 1]
    names = [points[0].curve for points in whole]
    return [
        point.model_copy(update={"curve": name if names.count(name) == 1 else f"{name}, {number}"})
        for number, (name, points) in enumerate(zip(names, whole, strict=True), 1)
        for point in sorted(points, key=lambda point: point.patches)
    ]


def per_doubling(points: Sequence[CurvePoint]) -> float:
    """Return the ROC AUC gained by a doubling of the patches, by a straight line through all runs.

    Args:
        points: Of one curve, of two sizes or more.
    """
    x = [np.log2(point.patches) for point in points for _ in point.runs]
    y = [auc for point in points for auc in point.runs]
    return float(np.polyfit(x, y, 1)[0])
