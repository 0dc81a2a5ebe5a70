"""Reasons to leave a patch out, by id, in the manifest; nothing is deleted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from sentinode.core import Provenance, atomic_path, folder_lock, provenance, write_json
from sentinode.data.duplicates import copies_within, groups_of, shared_patches
from sentinode.data.labels import bare, read_table
from sentinode.errors import InputError, MissingInputError
from sentinode.tables import Manifest, PackedSet

if TYPE_CHECKING:  # a worker process does without
    from sentinode.config import AuditConfig

__all__ = [
    "AUDIT_FILE",
    "PAIRS_FILE",
    "AuditSummary",
    "Finding",
    "audit",
    "compare_sets",
    "write_pairs",
]

AUDIT_FILE = "audit.json"
PAIRS_FILE = "duplicates.csv"
IDS_LISTED = 1000
VERDICTS = {
    "wrong label": "an expert says that the label is wrong",
    "unusable": "an expert says that the patch cannot be judged",
}
"""Verdicts of an expert that leave a patch out, and what they mean."""
_REPORTED_FIRST = {"test": 0, "valid": 1, "train": 2}

Mask = NDArray[np.bool_]


class Finding(BaseModel):
    """What one rule found.

    Attributes:
        rule: Its name.
        said: What it looks for, in words.
        patches: How many patches it found.
        left_out: Whether they are left out, or only told of.
        ids: The first thousand of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: str
    said: str
    patches: int
    left_out: bool
    ids: tuple[str, ...]


class AuditSummary(BaseModel):
    """What an audit found, as it lies in ``audit.json``.

    Attributes:
        patches: Patches in the set.
        usable: Those that neither packing nor the audit puts aside.
        labels: Usable patches by label: "0", "1", "none".
        findings: One for each rule.
        provenance: What made it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    patches: int
    usable: int
    labels: dict[str, int]
    findings: tuple[Finding, ...]
    provenance: Provenance


def audit(packed: PackedSet, config: AuditConfig) -> AuditSummary:
    """Look for patches to leave out, write the reasons into the manifest and sum them up.

    Every rule that a patch meets stands in the manifest's ``remarks``; those for which it is left
    out stand in ``excluded`` too. Only labelled patches are left out: one without a label is not
    learned from, and whoever asks for its prediction wants one. Copies of one tissue get a common
    ``group``. Started again, it begins anew from what was packed.

    Args:
        packed: The set; its manifest, ``audit.json`` and ``duplicates.csv`` are written.
        config: Limits, what leaves a patch out, the reader's own list, and an expert's verdicts.

    Raises:
        MissingInputError: There is no list of ids, or no verdicts, where they were named.
        InputError: None of their ids is in the set, or the verdicts are no CSV with id,verdict.
    """
    with folder_lock(packed.folder):
        frame = packed.manifest.frame.copy()
        listed = {"listed": _listed(frame, config.exclude_ids)}
        listed |= _judged(frame, config.verdicts)
        pairs = copies_within(packed)
        group = groups_of(pairs, len(frame))
        alone = ~_shared(group, np.ones(len(frame), bool))
        frame["group"] = frame["id"].take(group).set_axis(frame.index).mask(alone)
        rules = _rules(frame, listed, pairs, group, config)
        frame["remarks"] = _joined(frame, {name: found for name, (_, found, _) in rules.items()})
        frame["excluded"] = _joined(
            frame, {name: found for name, (_, found, leaves) in rules.items() if leaves}
        ).mask(frame["label"].isna() | frame["problem"].notna())
        manifest = Manifest.make(frame, packed.manifest.note)
        if not manifest.frame.equals(packed.manifest.frame):
            manifest.write(packed.folder / "manifest.parquet")
        write_pairs(packed.folder / PAIRS_FILE, pairs, frame, frame)
        summary = _summary(manifest, rules, packed, config)
        write_json(packed.folder / AUDIT_FILE, summary.model_dump(mode="json"))
        return summary


def compare_sets(packed: PackedSet, other: PackedSet, out: Path) -> pd.DataFrame:
    """Find what two sets share and write the pairs as CSV.

    Args:
        packed: A set.
        other: Another one.
        out: The CSV; columns as of :func:`write_pairs`.

    Returns:
        The pairs, by row; see :func:`sentinode.data.duplicates.shared_patches`.

    Raises:
        InputError: Their patches differ in size.
    """
    if packed.meta.size != other.meta.size:
        raise InputError(
            f"{packed.folder} has patches of {packed.meta.size} px and {other.folder} of "
            f"{other.meta.size} px; pack one of them again with --set pack.resize=..."
        )
    pairs = shared_patches(packed, other)
    write_pairs(out, pairs, packed.manifest.frame, other.manifest.frame)
    return pairs


def write_pairs(path: Path, pairs: pd.DataFrame, frame: pd.DataFrame, other: pd.DataFrame) -> None:
    """Write pairs of the same tissue as CSV.

    Columns: id, other (ids), kind (exact, turned, compressed), turned (how the first has to be
    turned to lie as the other), similarity (correlation of detail), and label, fold, other_label,
    other_fold, where folds are the source's own.
    """
    one, two = frame.iloc[pairs["row"]], other.iloc[pairs["other"]]
    table = pd.DataFrame(
        {
            "id": one["id"].to_numpy(),
            "other": two["id"].to_numpy(),
            "kind": pairs["kind"].to_numpy(),
            "turned": pairs["turned"].to_numpy(),
            "similarity": pairs["similarity"].astype(float).round(4).to_numpy(),
            "label": one["label"].to_numpy(),
            "other_label": two["label"].to_numpy(),
            "fold": one["source_fold"].to_numpy(),
            "other_fold": two["source_fold"].to_numpy(),
        }
    )
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def _rules(
    frame: pd.DataFrame,
    listed: dict[str, tuple[str, Mask]],
    pairs: pd.DataFrame,
    group: NDArray[np.int64],
    config: AuditConfig,
) -> dict[str, tuple[str, Mask, bool]]:
    """Apply every rule: name -> what it looks for, what it found, whether that is left out."""
    aside = frame["problem"].notna().to_numpy(bool)
    labelled = frame["label"].notna().to_numpy(bool) & ~aside
    found = _problems(frame)
    found |= {name: (said, mask & ~aside) for name, (said, mask) in listed.items()}
    found |= _looks_wrong(frame, aside, config)
    conflict = _with_two_labels(frame, group, labelled)
    found["two labels"] = ("the same tissue, in any copy, has both labels", conflict)
    gone = [m for name, (_, m) in found.items() if name in (*config.leave_out, *listed)]
    usable = labelled & ~np.logical_or.reduce(gone)
    found["duplicate"] = (
        "the same pixels stand in the set once more; one is kept",
        _further_copies(frame, usable),
    )
    for kind, said in (
        ("turned", "the same pixels turned or flipped; kept, in one fold if split by groups"),
        ("compressed", "the same tissue compressed otherwise; kept, in one fold likewise"),
    ):
        members = pairs.loc[pairs["kind"] == kind, ["row", "other"]].to_numpy(np.int64)
        found[f"{kind} duplicate"] = (said, np.isin(np.arange(len(frame)), members) & ~aside)
    leaves_out = {*listed, *config.leave_out}
    return {name: (said, mask, name in leaves_out) for name, (said, mask) in found.items()}


PROBLEMS = {
    "unreadable": ("no image, or one that is damaged", "unreadable|no image|missing"),
    "wrong size": ("of another size than the set", "wrong size"),
    "wrong mode": ("not 8-bit RGB", "wrong mode"),
    "label": ("no label where one is due, or one that is not 0 or 1", "no label|label"),
    "put aside": ("another reason for which packing could not use it", ""),
}
"""Reasons of packing: rule -> what it looks for, how the reason begins."""


def _problems(frame: pd.DataFrame) -> dict[str, tuple[str, Mask]]:
    left = frame["problem"].notna().to_numpy(bool)
    found = {}
    for rule, (said, begins) in PROBLEMS.items():
        here = left & frame["problem"].str.match(begins).fillna(value=False).to_numpy(bool)
        left = left & ~here
        found[rule] = (said, here)
    return found


def _looks_wrong(
    frame: pd.DataFrame, aside: Mask, config: AuditConfig
) -> dict[str, tuple[str, Mask]]:
    tissue = frame["tissue"].to_numpy(float, na_value=1.0)
    sharp = frame["sharpness"].to_numpy(float, na_value=np.inf)
    largest = frame["max"].to_numpy(float, na_value=255)
    least = frame["min"].to_numpy(float, na_value=0)
    blank = tissue < config.blank_tissue
    return {
        "near-black": (
            f"largest value below {config.near_black_max}",
            (largest < config.near_black_max) & ~aside,
        ),
        "near-white": (
            f"least value above {config.near_white_min}",
            (least > config.near_white_min) & ~aside,
        ),
        "blank": (f"stained in less than {config.blank_tissue:.0%} of its area", blank & ~aside),
        "blurred": (
            f"tissue with a sharpness below {config.blur_sharpness:g}",
            (sharp < config.blur_sharpness) & ~blank & ~aside,
        ),
    }


def _joined(frame: pd.DataFrame, found: dict[str, Mask]) -> pd.Series[str]:
    """Return the names of the rules that each patch meets, null where there is none."""
    names = pd.Series(pd.NA, index=frame.index, dtype="string")
    for name, mask in found.items():
        names = names.mask(mask, (names.fillna("") + "; " + name).str.removeprefix("; "))
    return names


def _listed(frame: pd.DataFrame, path: Path | None) -> tuple[str, Mask]:
    """Return what the rule of the reader's list says, and the patches that it names."""
    said = "named in the reader's list of ids"
    if path is None:
        return said, np.zeros(len(frame), bool)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise MissingInputError(f"no list of ids at {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected a text file with one id a line") from error
    wanted = pd.Series(sorted({line.strip() for line in lines if line.strip()}), dtype="string")
    ids = bare(frame["id"])
    found = ids.isin(bare(wanted)).to_numpy(bool)
    strange = wanted[~bare(wanted).isin(ids)].tolist()
    if not found.any():
        example = f", as in {strange[0]!r}" if strange else ""
        raise InputError(f"{path}: none of its {len(wanted)} ids is in the set{example}")
    if strange:
        said += f"; {len(strange):,} of its {len(wanted):,} are not in the set, as {strange[0]!r}"
    return said, found


def _judged(frame: pd.DataFrame, path: Path | None) -> dict[str, tuple[str, Mask]]:
    """Return the rules of an expert's verdicts: none where there are no verdicts."""
    if path is None:
        return {}
    table = read_table(path, ("id", "verdict")).dropna(subset=["id"])
    here = table[table["id"].isin(frame["id"])]
    if not len(here):
        example = f", as in {table['id'].iloc[0]!r}" if len(table) else ""
        raise InputError(f"{path}: none of its {len(table)} ids is in the set{example}")
    said = here["verdict"].str.lower()
    return {
        name: (meaning, frame["id"].isin(here["id"][said == name]).to_numpy(bool))
        for name, meaning in VERDICTS.items()
    }


def _shared(group: NDArray[np.int64], among: Mask) -> Mask:
    """Tell which rows of ``among`` share their group with another one of them."""
    counts = pd.Series(group[among]).value_counts()
    return among & np.isin(group, counts.index[counts > 1]) & (group >= 0)


def _with_two_labels(frame: pd.DataFrame, group: NDArray[np.int64], labelled: Mask) -> Mask:
    labels = frame["label"].astype("Float64").to_numpy(float, na_value=np.nan)
    table = pd.DataFrame({"group": group[labelled], "label": labels[labelled]})
    kinds = table.groupby("group")["label"].nunique()
    return labelled & np.isin(group, kinds.index[kinds > 1])


def _further_copies(frame: pd.DataFrame, usable: Mask) -> Mask:
    """Mark all but one of equal patches; of the source's folds the reported one keeps its own."""
    rank = frame["source_fold"].map(_REPORTED_FIRST).fillna(3)
    order = frame.assign(rank=rank)[usable].sort_values("rank", kind="stable")
    copies = order.index[order["sha256"].duplicated()]
    return np.isin(np.arange(len(frame)), copies)


def _summary(
    manifest: Manifest,
    rules: dict[str, tuple[str, Mask, bool]],
    packed: PackedSet,
    config: AuditConfig,
) -> AuditSummary:
    frame, usable = manifest.frame, manifest.usable
    labels = frame["label"][usable].astype("string").fillna("none").value_counts()
    return AuditSummary(
        patches=len(frame),
        usable=int(usable.sum()),
        labels={name: int(labels.get(name, 0)) for name in ("0", "1", "none")},
        findings=tuple(
            Finding(
                rule=name,
                said=said,
                patches=int(found.sum()),
                left_out=leaves_out,
                ids=tuple(frame["id"][found].head(IDS_LISTED)),
            )
            for name, (said, found, leaves_out) in rules.items()
        ),
        provenance=provenance(
            "audit",
            # a path says nothing elsewhere
            config=config.fingerprint() | {"exclude_ids": None, "verdicts": None},
            inputs={"set": packed.meta.content_hash},
        ),
    )
