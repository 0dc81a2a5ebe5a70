"""Reasons to leave a patch out, by id, in the manifest; nothing is deleted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from sentinode.config import AuditConfig
from sentinode.core import Provenance, folder_lock, provenance, write_json
from sentinode.data.duplicates import orientation_groups
from sentinode.errors import InputError, MissingInputError
from sentinode.tables import Manifest, PackedSet

__all__ = ["AUDIT_FILE", "AuditSummary", "Finding", "audit"]

AUDIT_FILE = "audit.json"
IDS_LISTED = 1000
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

    Only labelled patches are left out: one without a label is not learned from, and whoever asks
    for its prediction wants one. Started again, it begins anew from what was packed.

    Args:
        packed: The set; its manifest and ``audit.json`` are written.
        config: Limits and the reader's own list.

    Raises:
        MissingInputError: There is no list of ids where one was named.
        InputError: None of its ids is in the set.
    """
    with folder_lock(packed.folder):
        frame = packed.manifest.frame.copy()
        rules = _rules(packed, frame, config)
        excluded = pd.Series(pd.NA, index=frame.index, dtype="string")
        for name, (_, found, leaves_out) in rules.items():
            if leaves_out:
                joined = excluded.fillna("") + "; " + name
                excluded = excluded.mask(found, joined.str.removeprefix("; "))
        frame["excluded"] = excluded
        manifest = Manifest.make(frame, packed.manifest.note)
        if not manifest.frame["excluded"].equals(packed.manifest.frame["excluded"]):
            manifest.write(packed.folder / "manifest.parquet")
        summary = _summary(manifest, rules, packed, config)
        write_json(packed.folder / AUDIT_FILE, summary.model_dump(mode="json"))
        return summary


def _rules(
    packed: PackedSet, frame: pd.DataFrame, config: AuditConfig
) -> dict[str, tuple[str, Mask, bool]]:
    """Apply every rule: name -> what it looks for, what it found, whether that is left out."""
    aside = frame["problem"].notna().to_numpy(bool)
    labelled = frame["label"].notna().to_numpy(bool) & ~aside
    dark = (frame["max"] < config.near_black_max).fillna(value=False).to_numpy(bool) & labelled
    bright = (frame["min"] > config.near_white_min).fillna(value=False).to_numpy(bool) & labelled
    listed = _listed(frame, config.exclude_ids) & labelled
    group = orientation_groups(packed)
    conflict = _with_two_labels(frame, group, labelled)
    usable = labelled & ~(dark | bright | listed | conflict)
    return {
        "put aside": ("packing could not use it", aside, False),
        "listed": ("named in the reader's list of ids", listed, True),
        "near-black": (f"largest value below {config.near_black_max}", dark, True),
        "near-white": (f"least value above {config.near_white_min}", bright, True),
        "two labels": (
            "the same pixels, as they lie or turned, have both labels",
            conflict,
            True,
        ),
        "duplicate": (
            "the same pixels stand in the set once more; one is kept",
            _further_copies(frame, usable),
            True,
        ),
        "turned duplicate": (
            "the same pixels turned or flipped; kept, and kept in one fold where none is given",
            _shared(group, labelled) & ~_shared(_codes(frame["sha256"]), labelled),
            False,
        ),
    }


def _listed(frame: pd.DataFrame, path: Path | None) -> Mask:
    if path is None:
        return np.zeros(len(frame), bool)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise MissingInputError(f"no list of ids at {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected a text file with one id a line") from error
    wanted = {line.strip() for line in lines if line.strip()}
    found = frame["id"].isin(wanted).to_numpy(bool)
    if not found.any():
        example = f", as in {min(wanted)!r}" if wanted else ""
        raise InputError(f"{path}: none of its {len(wanted)} ids is in the set{example}")
    return found


def _codes(values: pd.Series[str]) -> NDArray[np.int64]:
    return pd.factorize(values)[0].astype(np.int64)  # -1 where null


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
            config=config.fingerprint() | {"exclude_ids": None},  # a path says nothing elsewhere
            inputs={"set": packed.meta.content_hash},
        ),
    )
