"""What the manifest alone tells: missing values, labels, slides, copies and problems."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentinode.explore.facts import (
    KINDS,
    Column,
    Copies,
    CopyGroup,
    Counted,
    Labels,
    Shown,
    SlideRow,
    Slides,
)
from sentinode.tables import Split

__all__ = [
    "columns_of",
    "copies_of",
    "kinds_of",
    "labels_of",
    "problems_of",
    "rules_of",
    "shown",
    "slides_of",
]

Codes = NDArray[np.int64]
Rows = NDArray[np.int64]

SLIDES_KEPT = 2000
GROUPS_SHOWN = 8
COPIES_SHOWN = 6
FOLD_NAMES = {"train": "training fold", "valid": "validation fold", "test": "test fold"}


def kinds_of(frame: pd.DataFrame) -> Codes:
    """Return each patch's class as its place in :data:`KINDS`: int64 (N,)."""
    return frame["label"].fillna(2).to_numpy(np.int64)


def shown(frame: pd.DataFrame, rows: Rows, values: list[str] | None = None) -> tuple[Shown, ...]:
    """Return what the page says of patches.

    Args:
        frame: Of the manifest.
        rows: Which ones, int64 (M,).
        values: Why each stands there, or None.
    """
    kinds = kinds_of(frame.iloc[rows])
    said = values or [""] * len(rows)
    return tuple(
        Shown(row=int(row), id=str(patch), kind=KINDS[kind], value=value)
        for row, patch, kind, value in zip(rows, frame["id"].iloc[rows], kinds, said, strict=True)
    )


def columns_of(frame: pd.DataFrame) -> tuple[Column, ...]:
    """Count missing and distinct values of every column."""
    return tuple(
        Column(
            name=str(name),
            missing=int(frame[name].isna().sum()),
            distinct=int(frame[name].nunique()),
        )
        for name in frame.columns
    )


def labels_of(
    frame: pd.DataFrame, usable: NDArray[np.bool_], split: Split | None, subset: Rows
) -> tuple[Labels, ...]:
    """Count labels of the set, of what is usable, of the folds and of a random subset."""
    kinds = kinds_of(frame)
    parts = [("whole set", kinds), ("usable", kinds[usable])]
    if split is not None:
        fold = split.folds_of(frame["id"]).fillna("").to_numpy(object)
        parts += [(said, kinds[fold == name]) for name, said in FOLD_NAMES.items()]
    if len(subset):
        parts.append((f"random subset of {len(subset):,}", kinds[subset]))
    return tuple(_labels(name, part) for name, part in parts)


def _labels(name: str, kinds: Codes) -> Labels:
    normal, tumour, unlabelled = np.bincount(kinds, minlength=3).tolist()
    return Labels(
        name=name,
        patches=len(kinds),
        normal=normal,
        tumour=tumour,
        unlabelled=unlabelled,
        tumour_share=_share(tumour, normal + tumour),
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def slides_of(frame: pd.DataFrame) -> Slides:
    """Count patches and labels of every slide, the largest first."""
    known = frame["slide"].notna()
    table = pd.crosstab(
        frame["slide"][known].astype(object),
        pd.Categorical(kinds_of(frame[known]), categories=range(3)),
        dropna=False,
    )
    table = table.assign(patches=table.sum(axis=1)).sort_values(
        "patches", ascending=False, kind="stable"
    )
    rows = [
        SlideRow(
            name=str(name),
            patches=patches,
            normal=normal,
            tumour=tumour,
            unlabelled=unlabelled,
            tumour_share=_share(tumour, normal + tumour),
        )
        for name, (normal, tumour, unlabelled, patches) in zip(
            table.index[:SLIDES_KEPT], table.head(SLIDES_KEPT).to_numpy(int).tolist(), strict=True
        )
    ]
    return Slides(
        count=len(table),
        patients=int(frame["patient"].nunique()),
        centres=int(frame["centre"].nunique()),
        without=int((~known).sum()),
        rows=tuple(rows),
    )


def copies_of(frame: pd.DataFrame, audited: bool) -> Copies:
    """Count copies: of equal pixels, and those that the audit knows.

    Args:
        frame: Of the manifest.
        audited: Whether its column ``group`` means anything.
    """
    readable = frame[frame["problem"].isna()]
    exact = _groups(readable, "sha256")
    near = _groups(readable, "group") if audited else None
    return Copies(
        audited=audited,
        exact_groups=len(exact),
        exact_patches=int(exact["size"].sum()),
        exact_two_labels=int(exact["two"].sum()),
        near_groups=None if near is None else len(near),
        near_patches=None if near is None else int(near["size"].sum()),
        near_two_labels=None if near is None else int(near["two"].sum()),
        shown=tuple(_some_groups(frame, exact, near)),
    )


def _groups(readable: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return size and whether both labels stand in it of every group of more than one."""
    grouped = readable.dropna(subset=[column]).groupby(column, sort=False)["label"]
    table = pd.DataFrame({"size": grouped.size(), "two": grouped.nunique() > 1})
    return table[table["size"] > 1]


def _some_groups(
    frame: pd.DataFrame, exact: pd.DataFrame, near: pd.DataFrame | None
) -> Iterator[CopyGroup]:
    readable = frame[frame["problem"].isna()]
    tables = [("sha256", "equal pixels", exact)]
    if near is not None:
        # a group of the audit that holds nothing but equal pixels is shown as such, once
        kinds = readable.dropna(subset=["group"]).groupby("group")["sha256"].nunique()
        tables.append(("group", "the same tissue", near[kinds.reindex(near.index) > 1]))
    for column, kind, table in tables:
        ordered = table.sort_values(["two", "size"], ascending=False, kind="stable")
        for name, size, two in ordered.head(GROUPS_SHOWN).itertuples():
            members = readable.index[readable[column] == name].to_numpy(np.int64)
            yield CopyGroup(
                kind=kind,
                size=int(size),
                two_labels=bool(two),
                patches=shown(frame, members[:COPIES_SHOWN]),
            )


def problems_of(frame: pd.DataFrame) -> tuple[Counted, ...]:
    """Count why packing put patches aside, by the reason's part before a colon."""
    said = frame["problem"].dropna()
    return _counted(frame, said.str.replace(":.*", "", regex=True), said)


def rules_of(frame: pd.DataFrame, column: str) -> tuple[Counted, ...]:
    """Count the rules in ``remarks`` or ``excluded``; a patch counts for each that it meets."""
    rules = frame[column].dropna().str.split("; ").explode()
    return _counted(frame, rules, None)


def _counted(
    frame: pd.DataFrame, reasons: pd.Series[str], full: pd.Series[str] | None
) -> tuple[Counted, ...]:
    table = pd.DataFrame({"reason": reasons.astype(object), "at": reasons.index})
    counts = table.groupby("reason", sort=False)["at"].agg(["size", "first"])
    counts = counts.sort_values("size", ascending=False, kind="stable")
    return tuple(
        Counted(
            reason=str(reason),
            patches=int(size),
            example=str(frame["id"][first] if full is None else full[first]),
        )
        for reason, size, first in counts.itertuples()
    )
