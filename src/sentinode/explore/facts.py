"""What an exploration finds, as it lies in ``explore.json``."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from sentinode.core import Provenance

__all__ = [
    "KINDS",
    "Column",
    "Copies",
    "CopyGroup",
    "Counted",
    "Exploration",
    "Histogram",
    "Labels",
    "MeanPatch",
    "Shown",
    "SlideRow",
    "Slides",
    "Spread",
    "StainRow",
    "Stains",
    "Statistic",
    "Strip",
]

KINDS = ("normal", "tumour", "unlabelled")
"""Classes in the order of their codes 0, 1, 2."""


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Column(_Fact):
    """A column of the manifest: how many rows have no value, and how many values differ."""

    name: str
    missing: int
    distinct: int


class Labels(_Fact):
    """Label counts of a part of the set.

    Attributes:
        name: Which part, as in "training fold".
        tumour_share: Of the labelled ones, None where there are none.
    """

    name: str
    patches: int
    normal: int
    tumour: int
    unlabelled: int
    tumour_share: float | None


class Spread(_Fact):
    """Where the middle of a class lies: mean, median and quartiles of its patches."""

    kind: str
    patches: int
    mean: float
    quartile_low: float
    median: float
    quartile_high: float


class Histogram(_Fact):
    """Counts between edges, by class (or by channel and class)."""

    edges: tuple[float, ...]
    counts: dict[str, tuple[int, ...]]


class Statistic(_Fact):
    """One number a patch, by class.

    Attributes:
        name: As in "brightness".
        said: What it is, with its unit.
        spreads: One a class that has patches.
        histogram: By class.
        separation: Area under the ROC curve when this number alone tells tumour from normal,
            whichever way round is better (0.5 to 1); None without both classes.
    """

    name: str
    said: str
    spreads: tuple[Spread, ...]
    histogram: Histogram
    separation: float | None


class MeanPatch(_Fact):
    """The mean patch of a class in figures: mean luma of its centre and of what surrounds it.

    ``rim`` is None where the patch is no larger than the centre.
    """

    kind: str
    patches: int
    centre: float
    rim: float | None


class SlideRow(_Fact):
    """The patches of one slide; ``tumour_share`` is of its labelled ones."""

    name: str
    patches: int
    normal: int
    tumour: int
    unlabelled: int
    tumour_share: float | None


class Slides(_Fact):
    """What is known of slides.

    Attributes:
        count: Slides named.
        patients: Patients named.
        centres: Centres named.
        without: Patches whose slide is not known.
        rows: The largest first, two thousand at most.
    """

    count: int
    patients: int
    centres: int
    without: int
    rows: tuple[SlideRow, ...]


class StainRow(_Fact):
    """Stain vectors of one slide or group, in optical density, R, G, B, of length 1.

    The angles are those to the median vectors, in degrees. All None where there was too little
    tissue.
    """

    name: str
    patches: int
    haematoxylin: tuple[float, float, float] | None
    eosin: tuple[float, float, float] | None
    haematoxylin_angle: float | None
    eosin_angle: float | None
    outlying: tuple[str, ...]


class Stains(_Fact):
    """The stain space.

    Attributes:
        by: What a row is about.
        method: How vectors were estimated.
        rule: How an outlying row is told, in words.
        haematoxylin: Median vector, None without an estimate.
        eosin: Likewise.
        limits: Largest angle in degrees that is not outlying: haematoxylin, eosin.
        left: Slides beyond the largest ones, not looked at.
        rows: The largest slide first.
    """

    by: Literal["slide", "random group"]
    method: str
    rule: str
    haematoxylin: tuple[float, float, float] | None
    eosin: tuple[float, float, float] | None
    limits: tuple[float, float] | None
    left: int
    rows: tuple[StainRow, ...]


class Shown(_Fact):
    """A patch that the page shows; ``value`` is why it stands there."""

    row: int
    id: str
    kind: str
    value: str = ""


class Strip(_Fact):
    """Patches that the page shows together, of ``found`` that there are."""

    name: str
    title: str
    said: str
    found: int
    patches: tuple[Shown, ...]


class Counted(_Fact):
    """A reason, how many patches it is about, and one of them."""

    reason: str
    patches: int
    example: str


class CopyGroup(_Fact):
    """Patches that are copies of one another."""

    kind: str
    size: int
    two_labels: bool
    patches: tuple[Shown, ...]


class Copies(_Fact):
    """Copies in the set.

    Attributes:
        audited: Whether copies that differ are known too.
        exact_groups: Groups of patches with equal pixels.
        exact_patches: Patches in them.
        exact_two_labels: Such groups in which both labels stand.
        near_groups: Groups of the audit, of equal, turned and compressed copies; None without.
        near_patches: Patches in them.
        near_two_labels: Such groups in which both labels stand.
        shown: Some of the groups, those with two labels first, then the largest.
    """

    audited: bool
    exact_groups: int
    exact_patches: int
    exact_two_labels: int
    near_groups: int | None
    near_patches: int | None
    near_two_labels: int | None
    shown: tuple[CopyGroup, ...]


class Exploration(_Fact):
    """All figures of the page.

    Attributes:
        patches: Rows of the set.
        unique_ids: Ids that differ.
        usable: Patches that neither packing nor the audit puts aside.
        size: Side of a patch in px.
        mpp: µm/px, None where not known.
        source: Kind of the source.
        audited: Whether the set was audited.
        warnings: What a user should know first, one sentence each.
        columns: Of the manifest.
        labels: Counts of the set and of parts of it.
        sampled: Patches whose pixels were read for contrast, histograms and mean patches.
        statistics: Brightness, contrast and saturation.
        intensities: Pixel values by channel and class, keys as "red, tumour".
        densities: Mean optical density of a pixel's channels, by class.
        mean_patches: One a class.
        slides: What is known of them.
        stains: The stain space.
        strips: Patches shown for a reason.
        copies: Duplicates.
        problems: Why packing put patches aside.
        remarks: What the audit found, by rule.
        excluded: For what the audit leaves patches out, by rule.
        provenance: What made it.
    """

    format: Literal[1] = 1
    patches: int
    unique_ids: int
    usable: int
    size: int
    mpp: float | None
    source: str
    audited: bool
    warnings: tuple[str, ...]
    columns: tuple[Column, ...]
    labels: tuple[Labels, ...]
    sampled: int
    statistics: tuple[Statistic, ...]
    intensities: Histogram
    densities: Histogram
    mean_patches: tuple[MeanPatch, ...]
    slides: Slides
    stains: Stains
    strips: tuple[Strip, ...]
    copies: Copies
    problems: tuple[Counted, ...]
    remarks: tuple[Counted, ...]
    excluded: tuple[Counted, ...]
    provenance: Provenance
