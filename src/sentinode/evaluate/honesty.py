"""How far the figures can be believed, said before any of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from sentinode.evaluate.origin import RunStory
from sentinode.evaluate.rows import (
    NO_PREDICTION,
    NOT_AMONG_THEM,
    NOT_PREDICTED,
    Selection,
    counted,
)
from sentinode.tables import LeftOut, PackedSet, Rows, Split

__all__ = ["UNKNOWN", "UNTOLD", "cautions", "foreign", "headline", "optimism"]

FEW_UNITS = 10
FEW_PATCHES = 100
UNKNOWN = "nothing says that the network was trained by this split; give the run with --run"
UNTOLD = "the run does not say which patches its network was trained on"


def foreign(
    packed: PackedSet | None,
    split: Split | None,
    story: RunStory | None,
    note: Mapping[str, Any],
) -> str | None:
    """Return why the split says nothing of what the network was trained on, None where it does.

    A network trained on another set, or by another split, may have seen any patch of this one; so
    may what it started from or learnt from.

    Args:
        packed: The set.
        split: Its split.
        story: The run that predicted, if it was given.
        note: Of the predictions, which may say what their network was trained on.
    """
    made = story.files["run"].get("provenance") if story is not None else None
    inputs = made.get("inputs") if isinstance(made, Mapping) else note.get("trained_on")
    known = isinstance(inputs, Mapping) and "set" in inputs and "split" in inputs
    if not isinstance(inputs, Mapping) or not known:
        if split is None:
            return None
        return UNKNOWN if story is None else UNTOLD
    if packed is not None and inputs["set"] != packed.meta.content_hash:
        return "the network was trained on another set, which may share slides with this one"
    if split is not None and inputs["split"] != split.hash:
        return "the network was trained by another split than this one"
    behind = story.files["run"].get("behind") if story is not None else inputs.get("behind")
    if behind:
        return f"weights that the network started from or learnt from were trained {behind}"
    return None


def optimism(frame: pd.DataFrame, selection: Selection, split: Split | None) -> str | None:
    """Return why the figures are optimistic, None where no reason is known.

    Args:
        frame: Of :func:`gather`.
        selection: What is reported of it.
        split: The split that the network was trained by, None where that is not known.
    """
    reasons = []
    if split is not None and split.optimistic:
        reasons.append(split.optimistic.strip().rstrip("."))
    if selection.fold == "train":
        reasons.append("the reported patches are those the network learnt from")
    if selection.fold == "valid":
        reasons.append("the reported patches also chose the epoch that was kept")
    shared, slides = _shared_slides(frame, selection)
    if shared and not reasons:
        reasons.append(
            f"{shared:,} of {counted(slides, 'reported slide')} also have patches in training or "
            "validation"
        )
    return "; ".join(reasons) or None


def _shared_slides(frame: pd.DataFrame, selection: Selection) -> tuple[int, int]:
    reported = frame["slide"][selection.reported].dropna().unique()
    others = frame[~selection.reported & frame["fold"].isin(["train", "valid"]).to_numpy(bool)]
    return int(pd.Series(reported).isin(others["slide"].dropna()).sum()), len(reported)


def headline(
    rows: Rows,
    optimistic: str | None,
    split: Split | None,
    frame: pd.DataFrame,
    strange: str | None,
    note: Mapping[str, Any],
) -> str:
    """Return the first line of the report: how honest its figures are, and what they are about.

    Args:
        rows: What is reported.
        optimistic: Of :func:`optimism`.
        split: The split that the network was trained by, None where that is not known.
        frame: Of :func:`gather`.
        strange: Of :func:`foreign`.
        note: What the predictions say of their own making.
    """
    standing = f"Optimistic: {optimistic}." if optimistic else _standing(rows, split, frame)
    if strange and not optimistic:
        standing = f"Independence not known: {strange}."
    known = rows.slides is not None
    slides = f" from {counted(rows.slides or 0, 'slide')}" if known else ", slides not known"
    reported = f"{counted(rows.reported, 'patch')} {rows.said}"
    views = note.get("orientations", 1)
    several = isinstance(views, int) and views > 1
    seen = f" Each was seen in {views} views; of one alone nothing is said." if several else ""
    return f"{standing} Reported: {reported} ({rows.tumour:,} with tumour){slides}.{seen}"


def _standing(rows: Rows, split: Split | None, frame: pd.DataFrame) -> str:
    if split is not None and split.by == "slide":
        return "Slide-disjoint: no slide reported here stands in training or validation."
    if split is not None and split.by == "official":
        return "By the folds that came with the data."
    if split is not None:
        return f"Split by {split.by}."
    taught = frame[frame["fold"].isin(["train", "valid"]).to_numpy(bool)]
    known = rows.slides is not None and taught["slide"].notna().all()
    if rows.fold == "test" and known and (taught["fold"] == "train").any():
        return "Slide-disjoint, by the slides and folds that came with the predictions."
    if rows.fold == "test":
        return "By the folds that came with the predictions."
    return "Independence not known: nothing says what the network was trained on."


def cautions(
    rows: Rows, units: int, unit: str, split: Split | None, missing: tuple[LeftOut, ...]
) -> list[str]:
    """Return what a reader must know beside the headline, one sentence each.

    Args:
        rows: What is reported.
        units: Number of slides or patches that the intervals resample.
        unit: ``slides`` or ``patches``.
        split: The split that the network was trained by, None where that is not known.
        missing: What is not reported.
    """
    said = list(split.notes) if split is not None else []
    if not (rows.tumour and rows.normal):
        only = "tumour" if rows.tumour else "normal"
        said.append(f"All reported patches are {only}: what compares the classes is not defined.")
    if units == 1:
        one = "slide" if unit == "slides" else "patch"
        said.append(f"All from one {one}: there is nothing to resample, so no intervals.")
    elif unit == "slides" and units < FEW_UNITS:
        said.append(f"Only {units} slides: intervals over them are rough and tend to be narrow.")
    if rows.reported < FEW_PATCHES:
        said.append(f"Only {counted(rows.reported, 'patch')} reported: every figure is rough.")
    said += [
        f"{counted(m.count, 'patch')} {m.reason}."
        for m in missing
        if m.reason in (NO_PREDICTION, NOT_AMONG_THEM)
    ]
    said += [
        f"{counted(m.count, 'patch')} without a usable prediction "
        f"({m.reason.removeprefix(NOT_PREDICTED + ': ')}), such as {m.ids[0]}: not scored, so that "
        "the figures are of the rest."
        for m in missing
        if m.reason.startswith(NOT_PREDICTED)
    ]
    return said
