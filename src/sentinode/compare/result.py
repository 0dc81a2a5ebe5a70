"""A comparison, as it lies in ``compare.json``."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from sentinode.core import Provenance
from sentinode.tables import Figure, Unit
from sentinode.types import RESEARCH_USE_ONLY

__all__ = ["Comparison", "CurvePoint", "Difference", "GroupRow", "MeanOf", "RunRow", "Verdict"]

Verdict = Literal["real", "negligible", "these runs only", "not told apart"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class RunRow(_Part):
    """One run, or one set of predictions; None and empty where a figure is not there.

    Attributes:
        name: Unique.
        group: Name of the group it is in.
        seed: Of its training.
        figures: Figure -> value: parameters, learning_rate, patches (learnt from), epochs,
            kept_epoch, ms_per_step, longest_epoch_s, train_patches_per_s, valid_patches_per_s,
            train_accuracy, valid_accuracy, valid_auc; of the common patches test_accuracy,
            ece_mass, slope.
        auc: ROC AUC of the common patches.
        boards: Column of the leaderboard's table -> score.
        published: Figure -> value that its notebook gives.
        maps: Score of its maps -> value.
    """

    name: str
    group: str
    seed: int | None
    figures: dict[str, float | None]
    auc: Figure
    boards: dict[str, float]
    published: dict[str, float]
    maps: dict[str, float]


class MeanOf(_Part):
    """Mean and standard deviation over seeds; the deviation is None with one run."""

    mean: float
    sd: float | None
    runs: int


class GroupRow(_Part):
    """Runs that differ in their seed only.

    Attributes:
        name: Of the group.
        network: Derived from the network's spec, as in ``CNN_96x96x3_C32-64_FC1_relu_9K_adam``.
        runs: Names of its runs.
        draws: Number of different draws of training patches among them, None where not known.
        auc: Mean ROC AUC of its runs, with its interval over slides or patches.
        auc_sd: Standard deviation of the runs' ROC AUCs over seeds; None without two runs, each of
            a seed that is known and no other's.
        means: Figure -> mean and deviation.
        boards: Column of the leaderboard's table -> mean score.
        published: Figure -> value that the notebook gives.
        maps: Score of the maps -> mean and deviation.
    """

    name: str
    network: str
    runs: tuple[str, ...]
    draws: int | None
    auc: Figure
    auc_sd: float | None
    means: dict[str, MeanOf]
    boards: dict[str, float]
    published: dict[str, float]
    maps: dict[str, MeanOf]


class Difference(_Part):
    """The first group's mean ROC AUC less the second's.

    Attributes:
        first: Name of a group.
        second: Name of another.
        value: The difference.
        low: Lower end of its interval, over patches and seeds where ``seeds``.
        high: Upper end.
        seeds: Whether the interval knows of the seeds: both groups have two runs or more, each of
            a seed of its own.
        p_patches: Paired DeLong for these very runs; over slides by the spread of the draws.
        p_bootstrap: Share of paired draws on the other side of 0, twice.
        p_seeds: Over patches and seeds, None without seeds.
        holm_patches: ``p_patches`` corrected for the number of comparisons.
        holm_seeds: ``p_seeds`` corrected likewise.
        spread: Standard deviation over seeds of either group, None where it is not known.
        verdict: What it amounts to.
        said: The same in a sentence.
    """

    first: str
    second: str
    value: float
    low: float
    high: float
    seeds: bool
    p_patches: float
    p_bootstrap: float
    p_seeds: float | None
    holm_patches: float
    holm_seeds: float | None
    spread: tuple[float | None, float | None]
    verdict: Verdict
    said: str


class CurvePoint(_Part):
    """One point of a learning curve: a group, among others alike in all but their patches."""

    curve: str
    group: str
    patches: int
    auc: float
    low: float | None
    high: float | None
    runs: tuple[float, ...]


class Comparison(_Part):
    """Everything one comparison found.

    Attributes:
        format: Version of this layout.
        notice: What the figures may not be used for.
        headline: What was compared on what.
        findings: What was found, one sentence each.
        warnings: What a reader must know.
        patches: Number of common patches.
        fold: That all of them are of, None where there is none such.
        unit: What was resampled.
        confidence: Coverage the intervals aim at.
        margin: A difference of ROC AUC that does not matter is smaller than this.
        against: Group that all others are compared with; None where all pairs are.
        rows: The runs.
        groups: The groups, the best first.
        differences: The largest first.
        curves: Points of learning curves.
        provenance: What made it.
    """

    format: Literal[1] = 1
    notice: str = RESEARCH_USE_ONLY
    headline: str
    findings: tuple[str, ...]
    warnings: tuple[str, ...]
    patches: int
    fold: str | None = None
    unit: Unit
    confidence: float
    margin: float
    against: str | None
    rows: tuple[RunRow, ...]
    groups: tuple[GroupRow, ...]
    differences: tuple[Difference, ...]
    curves: tuple[CurvePoint, ...]
    provenance: Provenance
