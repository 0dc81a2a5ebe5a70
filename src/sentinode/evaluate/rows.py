"""Which rows are scored: labels and folds joined by id, and the choice of what is reported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pandas as pd

from sentinode.errors import InputError
from sentinode.metrics import BoolArray, IntArray
from sentinode.tables import LeftOut, PackedSet, Predictions, Rows, Split, Unit
from sentinode.types import FOLDS

__all__ = [
    "NOT_AMONG_THEM",
    "NOT_PREDICTED",
    "NO_PREDICTION",
    "Selection",
    "counted",
    "gather",
    "left_out",
    "rows_of",
    "select",
    "units_of",
    "with_labels",
]

NOT_PREDICTED = "no prediction"
IDS_NAMED = 1000
REASONS_NAMED = 50
NO_PREDICTION = "of fold test, labelled, but without a prediction"
NOT_AMONG_THEM = "labelled, but without a prediction"
FOLDS_SAID = {
    "train": "the network learnt from them",
    "valid": "they chose the epoch and the threshold",
    "test": "they are of the test fold",
}


@final
@dataclass(frozen=True)
class Selection:
    """Which rows are reported and which may choose a threshold.

    Attributes:
        reported: bool (N,).
        valid: bool (N,): labelled rows of fold "valid", none of them reported.
        fold: Fold that is reported, None where the rows have none.
        said: Which rows and why, in a sentence.
    """

    reported: BoolArray
    valid: BoolArray
    fold: str | None
    said: str


def counted(n: int, what: str) -> str:
    """Return a number and its noun, as in "1 slide" and "1,200 slides"."""
    plural = f"{what}es" if what.endswith("ch") else f"{what}s"
    return f"{n:,} {what if n == 1 else plural}"


def with_labels(predictions: Predictions, labels: pd.DataFrame) -> Predictions:
    """Join labels to predictions by id.

    Args:
        predictions: With or without labels.
        labels: Columns id and label, and slide and fold where known.

    Raises:
        InputError: A column or an id is missing, an id stands twice, no id is known, a fold is
            none, or a label, slide or fold differs from the one that the predictions have.
    """
    missing = [c for c in ("id", "label") if c not in labels]
    if missing:
        raise InputError(
            f"labels need the columns id and label, got {', '.join(map(str, labels.columns))}"
        )
    keys = labels["id"].astype("string")
    if keys.isna().any():
        raise InputError("labels: a row has no id; expected one in each")
    if keys.duplicated().any():
        raise InputError(f"labels: id {keys[keys.duplicated()].iloc[0]!r} stands more than once")
    frame = predictions.frame.copy()
    at = _positions(frame["id"], keys)
    if not (at >= 0).any():
        raise InputError(
            f"no id of the labels (such as {keys.iloc[0]!r}) is among the predictions "
            f"(such as {frame['id'].iloc[0]!r})"
            if len(keys) and len(frame)
            else "there are no labels or no predictions to join"
        )
    for column in ("label", "slide", "fold"):
        if column in labels:
            frame[column] = _filled(frame, labels[column], at, column)
    rest = keys[~keys.isin(frame["id"])]
    note = dict(predictions.note)
    if len(rest):
        note["labels_without_prediction"] = {"count": len(rest), "ids": list(rest[:IDS_NAMED])}
    return Predictions.make(frame, note)


def gather(
    predictions: Predictions,
    packed: PackedSet | None,
    split: Split | None,
    centres: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Return the predictions with what the set and the split know of each id.

    Columns of the predictions, and centre, row (in the packed set, null where it is not there)
    and usable (False where packing or the audit left the patch out).

    Raises:
        InputError: No id is in the set, or a label, slide or fold differs between the tables.
    """
    frame = predictions.frame.assign(
        centre=predictions.frame["id"].map(dict(centres or {})).astype("string"),
        row=pd.Series(None, index=predictions.frame.index, dtype="Int64"),
        usable=True,
    )
    if packed is not None:
        known = packed.manifest.frame
        at = _positions(frame["id"], known["id"])
        if not (at >= 0).any():
            raise InputError(
                f"no id of the predictions is in the set {packed.folder.name}; give the set that "
                "they were made of, or none"
            )
        for column in ("label", "slide", "x", "y", "centre"):
            frame[column] = _filled(frame, known[column], at, column)
        frame["row"] = pd.Series(at, dtype="Int64").where(at >= 0)
        frame["usable"] = np.where(at >= 0, packed.manifest.usable[at], True)
    if split is not None:
        fold = split.folds_of(frame["id"])
        differ = frame["fold"].notna() & fold.notna() & (frame["fold"] != fold)
        if differ.any():
            first = frame[differ.to_numpy(bool, na_value=False)].index[0]
            raise InputError(
                f"patch {frame['id'][first]!r} is in fold {frame['fold'][first]} by the "
                f"predictions and in fold {fold[first]} by the split; predict again"
            )
        frame["fold"] = frame["fold"].fillna(fold)
    return frame


def _positions(ids: pd.Series, known: pd.Series) -> IntArray:
    """Return where each id stands among the known ones, -1 where it does not."""
    found = pd.Index(known.to_numpy(object)).get_indexer(pd.Index(ids.to_numpy(object)))
    return np.asarray(found, dtype=np.int64)


def _filled(frame: pd.DataFrame, known: pd.Series, at: IntArray, column: str) -> pd.Series:
    """Return a column of ``frame``, gaps filled from ``known``; labels, slides and folds agree.

    ``at`` is the position in ``known`` of each row, -1 where it is not there.
    """
    found = pd.Series(known.array.take(at, allow_fill=True), index=frame.index)
    if column == "label":
        try:
            found = pd.to_numeric(found).astype("Float64")
        except ValueError as error:
            raise InputError(f"a label is not 0 or 1: {error}") from error
        if not found.dropna().isin([0, 1]).all():
            raise InputError("a label is not 0 or 1")
        found = found.astype("Int8")
    if column == "slide":
        found = found.astype("string")
    if column == "fold" and not (known_folds := found.isna() | found.isin(FOLDS)).all():
        raise InputError(
            f"labels: fold {found[~known_folds].iloc[0]!r} is none, expected {', '.join(FOLDS)} or "
            "nothing; without it training patches would be scored as others are"
        )
    if column in ("label", "slide", "fold"):
        differ = (frame[column].notna() & found.notna() & (frame[column] != found)).fillna(False)
        if differ.any():
            first = frame.index[differ.to_numpy(bool)][0]
            raise InputError(
                f"patch {frame['id'][first]!r} has {column} {frame[column][first]} in the "
                f"predictions and {found[first]} in the labels joined to them; give tables that "
                "agree"
            )
    return frame[column].fillna(found.astype(frame[column].dtype))


def select(frame: pd.DataFrame) -> Selection:
    """Choose what is reported: fold test; else valid; else all labelled rows.

    Raises:
        InputError: No row has a label.
    """
    labelled = frame["label"].notna().to_numpy(bool) & frame["usable"].to_numpy(bool)
    if not labelled.any():
        raise InputError(
            "no prediction has a label; give them with --labels FILE (id,label) or --packed SET"
        )
    fold = frame["fold"].fillna("none").to_numpy()
    nobody = np.zeros(len(frame), np.bool_)
    for name in ("test", "valid"):
        reported = labelled & (fold == name)
        if reported.any():
            valid = labelled & (fold == "valid") if name == "test" else nobody
            said = f"of fold {name}" + (
                "" if name == "test" else ", since no labelled patch is in fold test"
            )
            return Selection(reported, valid, name, said)
    if (fold[labelled] == "train").all():
        return Selection(labelled, nobody, "train", "of fold train, since there are no others")
    reported = labelled & (fold != "train")
    return Selection(
        reported, nobody, None, "with a label, all there are, since they have no folds"
    )


def rows_of(frame: pd.DataFrame, selection: Selection) -> Rows:
    """Count what was given and what is reported."""
    labelled = frame[frame["label"].notna()]
    reported = frame[selection.reported]
    tumour = int((reported["label"] == 1).sum())
    known = bool(reported["slide"].notna().all())
    by_fold = labelled["fold"].fillna("none").value_counts().sort_index()
    return Rows(
        given=len(frame),
        labelled=len(labelled),
        by_fold={str(k): int(v) for k, v in by_fold.items()},
        fold=selection.fold,
        said=selection.said,
        reported=len(reported),
        tumour=tumour,
        normal=len(reported) - tumour,
        slides=int(reported["slide"].nunique()) if known else None,
    )


def units_of(reported: pd.DataFrame) -> tuple[IntArray, Unit, str]:
    """Return what the intervals resample.

    Returns:
        int64 (N,) codes from 0, ``slides`` or ``patches``, and what that means in a sentence.
    """
    slides = reported["slide"]
    without = int(slides.isna().sum())
    if without == len(slides):
        return (
            np.arange(len(slides)),
            "patches",
            "Intervals resample patches, since their slides are not known; patches of one slide "
            "resemble each other, so the true uncertainty is larger.",
        )
    own = "patch:" + pd.Series(reported.index.astype(str), index=reported.index)
    codes, names = pd.factorize(slides.astype("object").where(slides.notna(), own))
    said = f"Intervals resample the {counted(len(names) - without, 'slide')}, not their patches."
    if without:
        said += f" Patches without a slide ({without:,}) count as one each."
    return codes.astype(np.int64), "slides", said


def left_out(
    frame: pd.DataFrame,
    selection: Selection,
    packed: PackedSet | None,
    split: Split | None,
    note: Mapping[str, Any],
) -> tuple[LeftOut, ...]:
    """Say what is not reported: by packing and audit, by fold, by want of a label or prediction.

    Args:
        frame: Of :func:`gather`.
        selection: What is reported of it.
        packed: The set they were made of.
        split: Its split.
        note: Of the predictions; ``left_out`` are ids that have none, with the reason.
    """
    without = pd.Series(note.get("left_out", {}), dtype="string")
    ids = pd.Series(without.index.astype(str), index=without.index, dtype="string")
    groups = _by_reason(ids, without, NOT_PREDICTED)
    if packed is not None:
        table = packed.manifest.frame
        for column, said in (("problem", "set aside by packing"), ("excluded", "audit")):
            some = table[table[column].notna()]
            groups += _by_reason(some["id"], some[column], said)
        groups += _without_prediction(table, pd.concat([frame["id"], ids]), split)
    rest = frame[~selection.reported & frame["usable"].to_numpy(bool)]
    unlabelled = rest["label"].isna()
    groups.append(("no label", rest["id"][unlabelled]))
    folds = rest["fold"].fillna("none")
    for fold in folds[~unlabelled].unique():
        why = FOLDS_SAID.get(str(fold), "the split leaves them out")
        groups.append((f"fold {fold}: {why}", rest["id"][~unlabelled & (folds == fold)]))
    told = [
        LeftOut(reason=reason, count=len(ids), ids=tuple(map(str, ids.head(IDS_NAMED))))
        for reason, ids in groups
        if len(ids)
    ]
    unmatched = note.get("labels_without_prediction")
    if unmatched is not None:
        told.append(LeftOut(reason=NOT_AMONG_THEM, **unmatched))
    return tuple(told)


def _without_prediction(
    table: pd.DataFrame, predicted: pd.Series, split: Split | None
) -> list[tuple[str, pd.Series]]:
    usable = table["problem"].isna() & table["excluded"].isna()
    rest = table[usable & (_positions(table["id"], predicted) < 0)]
    folds = (
        split.folds_of(rest["id"]).fillna("none")
        if split is not None
        else pd.Series("none", index=rest.index, dtype="string")
    )
    groups = []
    for fold in folds.unique():
        why = f"fold {fold}, not predicted: {FOLDS_SAID.get(str(fold), 'of no fold')}"
        if fold == "test":
            why = NO_PREDICTION
        groups.append((why, rest["id"][folds == fold]))
    return groups


def _by_reason(ids: pd.Series, reasons: pd.Series, said: str) -> list[tuple[str, pd.Series]]:
    common = reasons.value_counts().index[:REASONS_NAMED]
    groups = [(f"{said}: {reason}", ids[reasons == reason]) for reason in common]
    return [*groups, (f"{said}: other reasons", ids[~reasons.isin(common)])]
