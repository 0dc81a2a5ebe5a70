"""The stage: runs in, comparison out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sentinode.compare.boards import read_boards
from sentinode.compare.candidates import Candidate
from sentinode.compare.common import Common, common_patches
from sentinode.compare.curves import curves_of
from sentinode.compare.differences import differences_of, findings_of, pairs_of
from sentinode.compare.result import Comparison, GroupRow
from sentinode.compare.rows import group_rows, groups_of, run_rows
from sentinode.config import EvaluateConfig
from sentinode.core import Progress, hash_bytes, hash_file, provenance
from sentinode.errors import InputError
from sentinode.metrics import FloatArray, resampled_aucs
from sentinode.tables import PackedSet

__all__ = ["compare"]

MARGIN = 0.01


def compare(
    candidates: Sequence[Candidate],
    config: EvaluateConfig,
    *,
    packed: PackedSet | None = None,
    leaderboard: Path | None = None,
    against: str | None = None,
    margin: float = MARGIN,
) -> Comparison:
    """Compare runs on the patches that all of them predicted.

    Args:
        candidates: Of :func:`find_candidates`; those without predictions are listed, not scored.
        config: Resamples, confidence and seed of the intervals.
        packed: Labels and slides where the predictions have none.
        leaderboard: CSV of scores by the name of a run or group.
        against: Group that all others are compared with; all pairs where None.
        margin: A difference of ROC AUC that does not matter is smaller than this.

    Raises:
        InputError: No candidate, none with predictions, no common patch, an unknown name, or a
            margin that is no number above 0.
        MissingInputError: There is no such leaderboard.
    """
    if not candidates:
        raise InputError("expected runs or predictions to compare, got none")
    if not 0 < margin < np.inf:
        raise InputError(
            "margin is the least difference of ROC AUC that matters; expected a number above 0, "
            f"got {margin}"
        )
    common = common_patches(candidates, packed)
    draws = _draws(common, config)
    groups = groups_of(candidates)
    names = {*groups, *(each.name for each in candidates)}
    boards = read_boards(leaderboard, names) if leaderboard is not None else {}
    rows = run_rows(groups, common, draws, boards, config.confidence)
    grouped = group_rows(groups, rows, common, draws, config.confidence)
    differences = differences_of(
        grouped, common, draws, against=against, confidence=config.confidence, margin=margin
    )
    by_name = {group.name: group for group in grouped}
    return Comparison(
        headline=f"{_counted(len(candidates), 'run')} in {_counted(len(groups), 'group')}, "
        f"compared on {common.said}.",
        findings=tuple(findings_of(differences, by_name, margin)),
        warnings=(
            *common.warnings,
            *_untested(grouped, common, len(pairs_of(grouped, common, against)) - len(differences)),
            *_cautions(candidates, grouped, common),
        ),
        patches=len(common.labels),
        fold=common.fold,
        unit=common.unit,
        confidence=config.confidence,
        margin=margin,
        against=against,
        rows=tuple(rows),
        groups=tuple(grouped),
        differences=tuple(differences),
        curves=tuple(curves_of(groups, grouped, rows)),
        provenance=provenance(
            "compare",
            config={
                "resamples": config.resamples,
                "confidence": config.confidence,
                "margin": margin,
                "against": against,
            },
            inputs=_inputs(candidates, common, leaderboard),
            seeds={"resamples": config.seed},
        ),
    )


def _counted(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def _draws(common: Common, config: EvaluateConfig) -> FloatArray:
    if common.too_few is not None:
        return np.full((config.resamples, len(common.names)), np.nan)
    with Progress("draws", config.resamples, "draws") as progress:
        return resampled_aucs(
            common.labels,
            common.probabilities,
            common.units,
            resamples=config.resamples,
            seed=config.seed,
            on_done=progress.advance,
        )


def _untested(groups: Sequence[GroupRow], common: Common, missing: int) -> list[str]:
    """Return why there is no interval, no difference, or nothing said over seeds."""
    if not common.both:
        return ["All patches are of one class: no ROC AUC and no difference is defined."]
    said = []
    if common.too_few is not None:
        said.append(f"No interval and no difference is given: {common.too_few}.")
    elif missing:
        said.append(
            f"{_counted(missing, 'comparison')} left out: a difference that is the same in all "
            f"{common.unit} has no p-value."
        )
    alike = [
        group.name
        for group in groups
        if group.auc_sd is None and len(set(group.runs) & set(common.names)) > 1
    ]
    if alike:
        said.append(
            f"The runs of {', '.join(alike)} are not each of a seed of its own, or it is not "
            "known: they do not tell what another seed gives, and count as one run each."
        )
    return said


def _cautions(
    candidates: Sequence[Candidate], groups: Sequence[GroupRow], common: Common
) -> list[str]:
    said = []
    missing = [each.name for each in candidates if each.name not in common.names]
    if missing:
        said.append(f"Without predictions, and so not scored: {', '.join(missing)}.")
    if any(len(group.runs) > 1 and (group.draws or 1) > 1 for group in groups):
        said.append(
            "Runs of a group differ in their seed and in the training patches drawn with it: the "
            "spread over seeds is of both."
        )
    sets = {c.run.record.provenance.inputs.get("set") for c in candidates if c.run is not None}
    if len(sets - {None}) > 1:
        said.append("The runs were trained on different sets.")
    strange = [each.name for each in candidates if _foreign(each)]
    if strange:
        said.append(
            f"Trained on another set than the one compared on, which may share slides with it: "
            f"{', '.join(strange)}."
        )
    return said


def _foreign(candidate: Candidate) -> bool:
    """Whether the predictions name another set than the run was trained on."""
    if candidate.run is None or candidate.predictions is None:
        return False
    ours = candidate.run.record.provenance.inputs.get("set")
    made = candidate.predictions.note.get("provenance") or {}
    theirs = made.get("inputs", {}).get("input")
    return ours is not None and theirs is not None and ours != theirs


def _inputs(
    candidates: Sequence[Candidate], common: Common, leaderboard: Path | None
) -> dict[str, str]:
    hashes = {f"weights of {c.name}": c.run.weights_hash for c in candidates if c.run is not None}
    for name, p in zip(common.names, common.probabilities, strict=True):
        hashes[f"probabilities of {name}"] = hash_bytes(p.astype("<f4").tobytes())
    if leaderboard is not None:
        hashes["leaderboard"] = hash_file(leaderboard)
    return hashes
