"""The split: which slide, group or patch belongs to which fold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from sentinode.core import Provenance, first_fault, hash_json, read_json, write_json
from sentinode.errors import InputError
from sentinode.types import Fold

__all__ = ["Split"]

By = Literal["official", "patient", "slide", "group", "random"]


class Split(BaseModel):
    """Fold of every patch that is used, and how it was decided.

    A unit is what must stay together: a patient or a slide where they are known, else a group of
    copies of one tissue, else a single patch. A split in which a unit, or a patch, stands in two
    folds cannot be made or loaded.

    Attributes:
        by: What decided: the source's own folds, patients, slides, groups of copies, or chance.
        seed: Seed of the draw.
        manifest_hash: Hash of the manifest it was made for.
        optimistic: Why the figures are optimistic, or None where folds share no slide.
        notes: What a reader of the report should know, one sentence each.
        units: fold -> unit -> ids of its patches.
        provenance: What made it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    by: By
    seed: int
    manifest_hash: str
    optimistic: str | None
    notes: tuple[str, ...] = ()
    units: dict[Fold, dict[str, tuple[str, ...]]]
    provenance: Provenance

    @model_validator(mode="after")
    def _one_fold_each(self) -> Self:
        unit_fold: dict[str, str] = {}
        patch_fold: dict[str, str] = {}
        for fold, units in self.units.items():
            for unit, ids in units.items():
                _claim(
                    unit_fold, unit, fold, self.by if self.by in ("slide", "patient") else "unit"
                )
                for patch in ids:
                    _claim(patch_fold, patch, fold, "patch")
        return self

    @classmethod
    def read(cls, path: Path) -> Split:
        """Read ``split.json``.

        Raises:
            MissingInputError: There is no such file.
            InputError: It is damaged, or a slide or patch stands in two folds.
        """
        values = read_json(path)
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise InputError(f"{path}: {first_fault(error)}") from error

    def write(self, path: Path) -> None:
        """Write ``split.json``, whole or not at all."""
        write_json(path, self.model_dump(mode="json"))

    @property
    def hash(self) -> str:
        """SHA-256 of what is in which fold."""
        return hash_json({"by": self.by, "units": self.model_dump(mode="json")["units"]})

    def folds_of(self, ids: pd.Series[str]) -> pd.Series[str]:
        """Return the fold of each id, null for a patch that the split leaves out."""
        fold = {p: f for f, units in self.units.items() for each in units.values() for p in each}
        return ids.map(fold).astype("string")

    def check_belongs(self, manifest_hash: str, path: Path) -> None:
        """Refuse a split made for another manifest.

        Raises:
            InputError: The set was packed or audited again since.
        """
        if manifest_hash != self.manifest_hash:
            raise InputError(
                f"{path} was made for another state of this set (it was packed or audited since); "
                f"split it again: sentinode split {path.parent}"
            )

    def counts(self, labels: Mapping[str, Any]) -> dict[str, dict[str, int]]:
        """Return units, patches, positives and negatives of each fold, by id -> label."""
        table: dict[str, dict[str, int]] = {}
        for fold, units in self.units.items():
            values = [labels.get(p) for ids in units.values() for p in ids]
            known = [int(v) for v in values if not pd.isna(v)]
            table[fold] = {
                "units": len(units),
                "patches": len(values),
                "positive": sum(known),
                "negative": len(known) - sum(known),
            }
        return table


def _claim(owner: dict[str, str], name: str, fold: str, kind: str) -> None:
    if name in owner:
        where = f"folds {owner[name]} and {fold}" if owner[name] != fold else f"fold {fold} twice"
        raise ValueError(f"{kind} {name!r} stands in {where}; every {kind} belongs to one fold")
    owner[name] = fold
