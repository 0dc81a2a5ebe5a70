"""What a calibration did to the reported patches, and whether they are like those it came from."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import ks_2samp, norm, rankdata

from sentinode.evaluate.rows import counted
from sentinode.evaluate.scores import Scored, calibration_figures, reliability_of
from sentinode.evaluate.wording import asked_share
from sentinode.metrics import BoolArray, FloatArray, IntArray, roc_auc, shift_p_value
from sentinode.tables import Conformal, ConformalRow, Figure, Uncalibrated

__all__ = [
    "calibration_cautions",
    "conformal_cautions",
    "saturation_cautions",
    "shift_cautions",
    "uncalibrated",
]

LEAST_DIFFERENCE = 1e-3
SHIFTED = 0.15
CERTAIN = 0.001
CERTAIN_OVER_SLIDES = 0.01
FEWEST_DEALS = 400  # of slides over both sides, with fewer of which chance cannot be left out
SLOPE_OFF = 0.1
LARGE_OFF = 0.2
FEWEST = 50


def uncalibrated(
    reported: pd.DataFrame, rows: Scored, note: Mapping[str, Any]
) -> Uncalibrated | None:
    """Return calibration by the bare logits, None where the probabilities are theirs."""
    bare = expit(reported["logit"].to_numpy("float64"))
    if not np.isfinite(bare).all():
        return None
    if np.abs(bare - rows.probabilities).max() < LEAST_DIFFERENCE:
        return None
    before = Scored(rows.labels, bare, rows.units, rows.unit, rows.confidence)
    method = note.get("calibration")
    return Uncalibrated(
        method=dict(method) if isinstance(method, Mapping) else {},
        figures=calibration_figures(before),
        reliability=reliability_of(before),
    )


def calibration_cautions(
    before: Uncalibrated | None,
    overall: Mapping[str, Figure],
    fold: str | None,
    *,
    elsewhere: bool = False,
) -> list[str]:
    """Say where the calibration made things worse, and where probabilities cannot be taken so.

    Args:
        before: What the network itself said.
        overall: Figures of what is reported.
        fold: That is reported.
        elsewhere: Whether the network is of another set or split, with folds of the same names.
    """
    said = []
    if before is not None:
        fitted_on = str(before.method.get("fitted_on", ""))
        if fold is not None and re.search(rf"\bfold [\w, ]*\b{fold}\b", fitted_on):
            then = (
                f"what is reported is fold {fold} too, so that figures of calibration are "
                "optimistic"
            )
            if elsewhere:
                then = f"fold {fold} here is of another set or split, unless that was done anew"
            said.append(f"The calibration was fitted on {fitted_on}; {then}.")
        names = {"log_loss": "log-loss", "brier": "Brier score", "ece_mass": "calibration error"}
        worse = []
        for name, title in names.items():
            was, now = before.figures[name].value, overall[name].value
            if was is not None and now is not None and now > was:
                worse.append(f"{title} {was:.4f} becomes {now:.4f}")
        if worse:
            said.append(
                f"The calibration makes these patches' probabilities worse: {', '.join(worse)}."
            )
    slope, large = overall["calibration_slope"], overall["calibration_in_the_large"]
    if _off(slope, 1.0, SLOPE_OFF):
        way = "too extreme" if (slope.value or 0.0) < 1 else "too timid"
        said.append(f"The probabilities are {way} here: calibration slope {_between(slope)}.")
    if _off(large, 0.0, LARGE_OFF):
        way = "too high" if (large.value or 0.0) < 0 else "too low"
        said.append(
            f"The probabilities are {way} on the whole here: calibration in the large "
            f"{_between(large)} in log odds."
        )
    return said


def _off(figure: Figure, ideal: float, by: float) -> bool:
    """Tell whether an interval leaves out the ideal, and by enough to matter."""
    if figure.value is None or figure.low is None or figure.high is None:
        return False
    return not figure.low <= ideal <= figure.high and abs(figure.value - ideal) > by


def _between(figure: Figure) -> str:
    return f"{figure.value:.2f} ({figure.low:.2f} to {figure.high:.2f})".replace("-", "−")


def saturation_cautions(reported: pd.DataFrame, rows: Scored) -> list[str]:
    """Say where logits would rank patches whose probabilities are all 0 or 1."""
    p, logits = rows.probabilities, reported["logit"].to_numpy("float64")
    full = (p == 0) | (p == 1)
    if not full.any() or not np.isfinite(logits).all():
        return []
    within = rankdata(logits) / (len(p) + 1)
    ranks = rankdata(np.where(full, np.where(p == 1, p + within, within - 1), p)) / (len(p) + 1)
    by_logit = roc_auc(rows.labels, ranks)
    auc = roc_auc(rows.labels, p)
    if not abs(by_logit - auc) >= LEAST_DIFFERENCE:
        return []
    return [
        f"The probability of {counted(int(full.sum()), 'patch')} is exactly 0 or 1, which hides "
        f"the order of their logits: by these the ROC AUC would be {by_logit:.3f} in place of "
        f"{auc:.3f}."
    ]


def shift_cautions(
    rows: Scored,
    valid: tuple[BoolArray, FloatArray],
    slides: tuple[IntArray, IntArray] | None = None,
    seed: int = 0,
) -> list[str]:
    """Say for which class the reported patches score otherwise than the validation patches.

    By the two-sample Kolmogorov-Smirnov distance within a class, so that another share of tumour
    is no shift. Where slides are known they are what is judged, since patches of one resemble each
    other.

    Args:
        rows: The reported rows.
        valid: Labels and probabilities of the validation rows.
        slides: Codes of the slides of the reported and of the validation rows, None where they
            are not all known.
        seed: Of the permutations of slides.
    """
    said = []
    for name, label in (("tumour", True), ("normal", False)):
        of, among = rows.labels == label, valid[0] == label
        here, there = rows.probabilities[of], valid[1][among]
        if min(len(here), len(there)) < FEWEST:
            continue
        found = ks_2samp(there, here)
        if not (found.statistic >= SHIFTED and found.pvalue < CERTAIN):
            continue
        few = ""
        if slides is not None:
            units = slides[0][of], slides[1][among]
            sides = [len(np.unique(side)) for side in units]
            if math.comb(sum(sides), sides[0]) < FEWEST_DEALS:
                few = f"; whether it is chance, {sides[0]} and {sides[1]} slides are too few to say"
            elif shift_p_value(here, there, *units, seed=seed) > CERTAIN_OVER_SLIDES:
                continue
        said.append(
            f"The {name} patches reported look shifted: their probabilities differ from those "
            f"of the validation patches by {found.statistic:.2f} (Kolmogorov-Smirnov), median "
            f"{np.median(here):.2f} in place of {np.median(there):.2f}; the threshold and any "
            f"calibration come from the latter{few}."
        )
    return said


def conformal_cautions(
    found: Conformal | None,
    fitted: tuple[int, int],
    confidence: float,
    slides: tuple[int, int] | None = None,
) -> list[str]:
    """Say which stated coverages do not hold, on the whole or by class.

    What chance explains is not told of: of the patches they are checked on, of those they are
    fitted on (the coverage of fitted sets varies as a Beta; Vovk, 2012, and by the slides they are
    of as that of the others does), and of many coverages.

    Args:
        found: The sets.
        fitted: Normal and tumour patches that they are fitted on.
        confidence: Of the intervals.
        slides: Number of slides they are checked and fitted on, None where these are not known.
    """
    rows = found.rows if found is not None else ()
    far = float(norm.ppf(1 - (1 - confidence) / 2 / max(1, len(rows))))
    near = float(norm.ppf((1 + confidence) / 2))

    def falls_short(row: ConformalRow) -> bool:
        if row.held.value is None or row.held.high is None:
            return False
        n = min(fitted) if row.by_class else sum(fitted)
        of_fit = math.sqrt(row.stated * (1 - row.stated) / (n + 2))
        of_check = (row.held.high - row.held.value) / near
        if slides is not None:
            of_fit = max(of_fit, of_check * math.sqrt(slides[0] / slides[1]))
        error = math.hypot(of_check, of_fit)
        return row.held.value + far * error < row.stated

    said = []
    for by_class, way in ((False, ""), (True, " by class")):
        short = [
            f"{asked_share(row.stated)} hold {row.held.value:.1%} (at most {row.held.high:.1%})"
            for row in rows
            if row.by_class == by_class and falls_short(row)
        ]
        if short:
            said.append(
                f"Conformal sets{way} hold the label less often than stated: {', '.join(short)}; "
                "the reported patches are not like those they were fitted on."
            )
    return said
