"""What each rule of the audit caught, and what two sets share, as pages of pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import pandas as pd

from sentinode.core import folder_lock, write_text
from sentinode.data import PAIRS_FILE, AuditSummary, Finding
from sentinode.plots import patch_uris, render
from sentinode.tables import PackedSet
from sentinode.types import UInt8Array

__all__ = ["AUDIT_PAGE", "audit_page", "pairs_page", "write_audit_page", "write_pairs_page"]

AUDIT_PAGE = "audit.html"
SHOWN = 24
KINDS = {
    "exact": "the same pixels",
    "turned": "the same pixels, turned or flipped",
    "compressed": "the same tissue, compressed otherwise",
}
OF_RULE = {
    "duplicate": ("exact",),
    "turned duplicate": ("turned",),
    "compressed duplicate": ("compressed",),
    "two labels": tuple(KINDS),
}


@final
@dataclass(frozen=True)
class Picture:
    """One patch, or a pair beside each other.

    Attributes:
        uris: Data URI of each patch.
        names: Id of each.
        lines: What is said below.
    """

    uris: tuple[str, ...]
    names: tuple[str, ...]
    lines: tuple[str, ...]


def write_audit_page(packed: PackedSet, summary: AuditSummary) -> Path:
    """Write ``audit.html`` into the set and return its path."""
    with folder_lock(packed.folder):
        path = packed.folder / AUDIT_PAGE
        write_text(path, audit_page(packed, summary))
    return path


def write_pairs_page(path: Path, pairs: pd.DataFrame, packed: PackedSet, other: PackedSet) -> None:
    """Write :func:`pairs_page` to ``path``."""
    write_text(path, pairs_page(pairs, packed, other))


def audit_page(packed: PackedSet, summary: AuditSummary) -> str:
    """Return the gallery of an audit: for each rule what it caught, up to 24 pictures.

    Args:
        packed: The set as the audit left it; ``duplicates.csv`` lies in its folder.
        summary: Of the audit.
    """
    pairs = pd.read_csv(packed.folder / PAIRS_FILE, dtype={"id": "string", "other": "string"})
    sections = [_section(packed, finding, pairs) for finding in summary.findings]
    return render(
        "gallery.html",
        title="Audit of a packed set",
        lead=f"{summary.usable:,} of {summary.patches:,} patches are usable: "
        f"{summary.labels['1']:,} tumour, {summary.labels['0']:,} normal, "
        f"{summary.labels['none']:,} without a label. Nothing was deleted; every patch keeps its "
        "row in the manifest, with the reasons.",
        sections=[s for s in sections if s["count"]],
        quiet=[s for s in sections if not s["count"]],
    )


def pairs_page(pairs: pd.DataFrame, packed: PackedSet, other: PackedSet) -> str:
    """Return a page of the patches that two sets share, up to 24 pairs of each kind.

    Args:
        pairs: Columns row, other, kind, turned, similarity; rows of ``packed`` and of ``other``.
        packed: The first set.
        other: The second.
    """
    sections = []
    for kind, said in KINDS.items():
        found = pairs[pairs["kind"] == kind]
        # those that are least alike first: where the rule errs, it errs there
        worst = found.sort_values("similarity", kind="stable").head(SHOWN)
        sections.append(
            {
                "name": kind,
                "said": said,
                "fate": "shared",
                "count": len(found),
                "pictures": _pairs(worst, packed, other),
                "order": "the least alike first",
            }
        )
    return render(
        "gallery.html",
        title="Patches that two sets share",
        lead=f"{len(pairs):,} pairs: {pairs['row'].nunique():,} of the {len(packed.manifest):,} "
        f"patches of {packed.folder.name} stand in {other.folder.name} too, as "
        f"{pairs['other'].nunique():,} of its {len(other.manifest):,}. Left: {packed.folder.name}; "
        f"right: {other.folder.name}.",
        sections=[s for s in sections if s["count"]],
        quiet=[s for s in sections if not s["count"]],
    )


def _section(packed: PackedSet, finding: Finding, pairs: pd.DataFrame) -> dict[str, object]:
    frame = packed.manifest.frame
    row_of = pd.Series(frame.index, index=frame["id"])
    ids = list(finding.ids)
    kinds = OF_RULE.get(finding.rule)
    if kinds is not None:
        mine = pairs[pairs["kind"].isin(kinds) & (pairs["id"].isin(ids) | pairs["other"].isin(ids))]
        if finding.rule == "two labels":
            mine = mine[mine["label"] != mine["other_label"]]
        mine = mine.head(SHOWN).copy()
        mine["row"] = mine["id"].map(row_of).astype(int)
        mine["other"] = mine["other"].map(row_of).astype(int)
        pictures = _pairs(mine, packed, packed)
    elif frame["problem"].loc[row_of.loc[ids]].notna().all() and ids:
        pictures = ()  # packing could not use them: there is nothing to show
    else:
        pictures = _singles(packed, row_of.loc[_spread(ids)].to_numpy())
    return {
        "name": finding.rule,
        "said": finding.said,
        "fate": "left out" if finding.left_out else "told of",
        "count": finding.patches,
        "pictures": pictures,
        "reasons": () if pictures else _reasons(frame, ids),
        "order": "",
    }


def _spread(ids: list[str]) -> list[str]:
    """Return up to 24 ids, spread evenly over all."""
    picks = np.unique(np.linspace(0, len(ids) - 1, min(SHOWN, len(ids))).astype(int))
    return [ids[i] for i in picks]


def _reasons(frame: pd.DataFrame, ids: list[str]) -> tuple[str, ...]:
    table = frame[frame["id"].isin(ids)].head(SHOWN)
    return tuple(
        f"{p}: {why}"
        for p, why in zip(table["id"], table["problem"], strict=True)
        if not pd.isna(why)
    )


def _singles(packed: PackedSet, rows: np.ndarray) -> tuple[Picture, ...]:
    table = packed.manifest.frame.iloc[rows]
    uris = patch_uris(_patches(packed, rows))
    pictures = []
    for uri, row in zip(uris, table.itertuples(index=False), strict=True):
        measured = f"values {row.min} to {row.max}, sharpness {row.sharpness:.0f}"
        lines = (_truth(row.label), measured, f"{row.tissue:.0%} stained")
        pictures.append(Picture((uri,), (str(row.id),), lines))
    return tuple(pictures)


def _pairs(pairs: pd.DataFrame, packed: PackedSet, other: PackedSet) -> tuple[Picture, ...]:
    rows, others = pairs["row"].to_numpy(int), pairs["other"].to_numpy(int)
    left, right = packed.manifest.frame.iloc[rows], other.manifest.frame.iloc[others]
    uris = patch_uris([*_patches(packed, rows), *_patches(other, others)])
    pictures = []
    for i, pair in enumerate(pairs.itertuples(index=False)):
        turned = f", {pair.turned}" if pair.turned != "as it lies" else ""
        lines = (
            f"{_truth(left['label'].iloc[i])} | {_truth(right['label'].iloc[i])}",
            f"similarity {float(str(pair.similarity)):.3f}{turned}",
        )
        names = (str(left["id"].iloc[i]), str(right["id"].iloc[i]))
        pictures.append(Picture((uris[i], uris[len(pairs) + i]), names, lines))
    return tuple(pictures)


def _patches(packed: PackedSet, rows: np.ndarray) -> list[UInt8Array]:
    return [np.asarray(packed.images[row]) for row in rows]


def _truth(label: object) -> str:
    if pd.isna(label):  # type: ignore[call-overload]
        return "no label"
    return "tumour" if label == 1 else "normal"
