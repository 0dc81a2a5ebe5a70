"""How far the figures can be believed, said before any of them."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from sentinode.evaluate.origin import RunStory
from sentinode.evaluate.rows import NO_PREDICTION, Selection, counted
from sentinode.tables import LeftOut, Rows, Split

__all__ = ["cautions", "headline", "optimism"]

FEW_UNITS = 10


def optimism(frame: pd.DataFrame, selection: Selection, split: Split | None) -> str | None:
    """Return why the figures are optimistic, None where no reason is known."""
    reasons = []
    if split is not None and split.optimistic:
        reasons.append(split.optimistic.rstrip("."))
    if selection.fold == "train":
        reasons.append("the reported patches are those the network learnt from")
    if selection.fold == "valid":
        reasons.append("the reported patches also chose the epoch that was kept")
    shared, slides = _shared_slides(frame, selection)
    if shared and not reasons:
        reasons.append(
            f"{shared:,} of the {slides:,} reported slides also have patches in training or "
            "validation"
        )
    return "; ".join(reasons) or None


def _shared_slides(frame: pd.DataFrame, selection: Selection) -> tuple[int, int]:
    reported = frame["slide"][selection.reported].dropna().unique()
    others = frame[~selection.reported & frame["fold"].isin(["train", "valid"]).to_numpy(bool)]
    return int(pd.Series(reported).isin(others["slide"].dropna()).sum()), len(reported)


def headline(rows: Rows, optimistic: str | None, split: Split | None, frame: pd.DataFrame) -> str:
    """Return the first line of the report: how honest its figures are, and what they are about."""
    if optimistic:
        standing = f"Optimistic: {optimistic}."
    elif split is not None and split.by == "slide":
        standing = "Slide-disjoint: no slide reported here was trained on."
    elif split is not None and split.by == "official":
        standing = "By the source's own folds."
    elif rows.fold == "test" and rows.slides is not None and _has_training_rows(frame):
        standing = "Slide-disjoint, by the slides and folds that came with the predictions."
    elif rows.fold == "test":
        standing = "By the folds that came with the predictions."
    else:
        standing = "Independence not known: nothing says what the network was trained on."
    known = rows.slides is not None
    slides = f" from {counted(rows.slides or 0, 'slide')}" if known else ", slides not known"
    return (
        f"{standing} Reported: {rows.reported:,} {rows.said} ({rows.tumour:,} with tumour){slides}."
    )


def _has_training_rows(frame: pd.DataFrame) -> bool:
    return bool((frame["fold"] == "train").any())


def cautions(
    rows: Rows,
    units: int,
    unit: str,
    split: Split | None,
    story: RunStory | None,
    missing: tuple[LeftOut, ...],
) -> list[str]:
    """Return what a reader must know beside the headline, one sentence each.

    Args:
        rows: What is reported.
        units: Number of slides or patches that the intervals resample.
        unit: ``slides`` or ``patches``.
        split: The split, where there is one.
        story: What the run folder says, where there is one.
        missing: What is not reported.
    """
    said = list(split.notes) if split is not None else []
    if not (rows.tumour and rows.normal):
        only = "tumour" if rows.tumour else "normal"
        said.append(f"All reported patches are {only}: what compares the classes is not defined.")
    if units == 1:
        said.append(f"All from one {unit[:-1]}: there is nothing to resample, so no intervals.")
    elif unit == "slides" and units < FEW_UNITS:
        said.append(
            f"Only {units} slides: intervals over them are rough and tend to be too narrow."
        )
    if rows.reported < 100:
        said.append(f"Only {counted(rows.reported, 'patch')} reported: every figure is rough.")
    said += [f"{m.count:,} patches are {m.reason}." for m in missing if m.reason == NO_PREDICTION]
    trained_by = _split_of(story)
    if split is not None and trained_by and trained_by != split.hash:
        said.append(
            "The network was trained by another split than this one: reported patches may have "
            "been trained on."
        )
    return said


def _split_of(story: RunStory | None) -> str | None:
    """Return the hash of the split a run was trained by, None where it does not tell."""
    made = story.files["run"].get("provenance") if story is not None else None
    inputs = made.get("inputs") if isinstance(made, Mapping) else None
    value = inputs.get("split") if isinstance(inputs, Mapping) else None
    return value if isinstance(value, str) else None
