"""Which differences are real, and which are noise of the patches or of the seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from sentinode.compare.common import Common
from sentinode.compare.result import Difference, GroupRow, Verdict
from sentinode.core import unknown_name
from sentinode.errors import InputError
from sentinode.metrics import Contrast, FloatArray, contrast, delong, holm

__all__ = ["ALPHA", "differences_of", "findings_of", "pairs_of"]

ALPHA = 0.05
NO_SPREAD = 1e-9


def differences_of(
    groups: Sequence[GroupRow],
    common: Common,
    draws: FloatArray,
    *,
    against: str | None,
    confidence: float,
    margin: float,
) -> list[Difference]:
    """Compare groups in pairs, or each with one, and correct for how many comparisons there are.

    A difference that is not 0 and yet the same in every draw has no error and is left out: too few
    units carry it. Seeds count where both groups have a deviation over them.

    Args:
        groups: Those without predictions are left out.
        common: The patches.
        draws: float64 (R, M), AUCs of the candidates of ``common`` by draw.
        against: Name of the group to compare all others with; all pairs where None.
        confidence: Of the intervals.
        margin: A difference of ROC AUC that does not matter is smaller than this.

    Raises:
        InputError: ``against`` names no group with predictions.
    """
    pairs, places = pairs_of(groups, common, against), _places(groups, common)
    if common.too_few is not None:
        return []
    sds = {group.name: group.auc_sd for group in groups}
    contrasts = _contrasts(pairs, places, sds, common, draws)
    holm_patches = holm([c.patches_p for c in contrasts.values()])
    holm_seeds = holm([np.nan if c.p is None else c.p for c in contrasts.values()])
    made = [
        _difference(
            pair,
            found,
            _other_side(draws, places[pair[0]], places[pair[1]]),
            (holm_patches[i], None if found.p is None else holm_seeds[i]),
            (sds[pair[0]], sds[pair[1]]),
            (confidence, 1 - ALPHA / len(contrasts)),
            margin,
        )
        for i, (pair, found) in enumerate(contrasts.items())
    ]
    return sorted(made, key=lambda d: (-abs(d.value), d.first, d.second))


def _places(groups: Sequence[GroupRow], common: Common) -> dict[str, list[int]]:
    """Return where the runs of each group with predictions stand among the candidates."""
    found = {
        group.name: [common.names.index(name) for name in group.runs if name in common.names]
        for group in groups
    }
    return {name: places for name, places in found.items() if places}


def pairs_of(
    groups: Sequence[GroupRow], common: Common, against: str | None
) -> list[tuple[str, str]]:
    """Return the names of the groups to compare; arguments and error as of `differences_of`."""
    places = _places(groups, common)
    if against is None:
        return list(combinations(places, 2))
    if against not in places:
        raise InputError(unknown_name("group", against, places))
    return [(name, against) for name in places if name != against]


def _contrasts(
    pairs: Sequence[tuple[str, str]],
    places: Mapping[str, Sequence[int]],
    sds: Mapping[str, float | None],
    common: Common,
    draws: FloatArray,
) -> dict[tuple[str, str], Contrast]:
    aucs, covariance = delong(common.labels, common.probabilities)
    if common.unit == "slides":  # DeLong takes patches as independent, which these are not
        covariance = np.atleast_2d(np.cov(draws[~np.isnan(draws).any(axis=1)], rowvar=False))
    made = {}
    for a, b in pairs:
        found = contrast(aucs, covariance, places[a], places[b])
        if found.patches_error < NO_SPREAD:
            if abs(found.value) >= NO_SPREAD:
                continue
            found = replace(found, value=0.0, patches_error=0.0, patches_p=1.0)  # but for rounding
        if sds[a] is None or sds[b] is None:  # copies of one seed are no two readers
            found = replace(found, error=None, degrees=None, p=None)
        made[a, b] = found
    return made


def _other_side(draws: FloatArray, first: Sequence[int], second: Sequence[int]) -> float:
    """Return the two-sided share of draws on the other side of 0; never quite 0."""
    d = draws[:, list(first)].mean(axis=1) - draws[:, list(second)].mean(axis=1)
    d = d[~np.isnan(d)]
    fewer = min((d <= 0).sum(), (d >= 0).sum())
    return float(min(1.0, 2 * (fewer + 1) / (len(d) + 1)))


def _difference(
    pair: tuple[str, str],
    found: Contrast,
    p_bootstrap: float,
    corrected: tuple[float, float | None],
    spread: tuple[float | None, float | None],
    levels: tuple[float, float],
    margin: float,
) -> Difference:
    low, high = found.interval(levels[0])
    wide = found.interval(levels[1])  # corrected for the number of comparisons (Bonferroni)
    verdict = _verdict(found, corrected, wide, margin)
    ends = wide if verdict == "negligible" else (low, high)
    return Difference(
        first=pair[0],
        second=pair[1],
        value=found.value,
        low=low,
        high=high,
        seeds=found.error is not None,
        p_patches=found.patches_p,
        p_bootstrap=p_bootstrap,
        p_seeds=found.p,
        holm_patches=corrected[0],
        holm_seeds=corrected[1],
        spread=spread,
        verdict=verdict,
        said=_said(pair, found, verdict, ends, margin, levels[1]),
    )


def _verdict(
    found: Contrast,
    corrected: tuple[float, float | None],
    ends: tuple[float, float],
    margin: float,
) -> Verdict:
    patches, seeds = corrected
    if seeds is not None and seeds < ALPHA:
        return "real"
    if found.p is not None and -margin < ends[0] and ends[1] < margin:
        return "negligible"
    return "these runs only" if patches < ALPHA else "not told apart"


def _said(
    pair: tuple[str, str],
    found: Contrast,
    verdict: Verdict,
    ends: tuple[float, float],
    margin: float,
    level: float,
) -> str:
    first, second = pair
    side = "above" if found.value >= 0 else "below"
    start = f"{first} is {abs(found.value):.3f} {side} {second}"
    between = f"{ends[0]:+.3f} to {ends[1]:+.3f}".replace("-", "−")
    if verdict == "real":
        return f"{start}: real, beyond patches and seeds ({between})."
    if verdict == "negligible":
        return (
            f"{start}: negligible, within ±{margin:g} over patches and seeds ({between}, interval "
            f"of {100 * level:.4g} %)."
        )
    if verdict == "these runs only":
        why = (
            "another seed may turn it round"
            if found.p is not None
            else "how far another seed moves it is not known, without two seeds of either"
        )
        return f"{start}: these very runs differ, but {why} ({between})."
    return f"{start}: not told from 0; it may be anything in {between}."


def findings_of(
    differences: Sequence[Difference], groups: Mapping[str, GroupRow], margin: float
) -> list[str]:
    """Return what the differences amount to, in sentences."""
    if not differences:
        return []
    counts: dict[Verdict, int] = dict.fromkeys(
        ("real", "negligible", "these runs only", "not told apart"), 0
    )
    for each in differences:
        counts[each.verdict] += 1
    said = [
        f"Of {len(differences)} comparisons {counts['real']} are real, {counts['negligible']} "
        f"negligible (below {margin:g} over patches and seeds), {counts['these runs only']} hold "
        f"for these very runs only, and {counts['not told apart']} cannot be told from 0."
    ]
    sds = [group.auc_sd for group in groups.values() if group.auc_sd is not None]
    widths = [(g.auc.high - g.auc.low) / 2 for g in groups.values() if g.auc.high and g.auc.low]
    if sds and widths:
        said.append(
            f"Another seed moves the ROC AUC of a run by {np.sqrt(np.mean(np.square(sds))):.3f} "
            f"(standard deviation, over all groups); its interval over the test patches is about "
            f"±{np.mean(widths):.3f}."
        )
    unknown = [d for d in differences if not d.seeds]
    if unknown:
        said.append(
            f"{len(unknown)} comparisons lack two runs of different seeds on a side: what another "
            "seed would give is not known there, and nothing of them is called real."
        )
    return said
