"""The patches on which all candidates are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import pandas as pd

from sentinode.compare.candidates import Candidate
from sentinode.errors import InputError
from sentinode.metrics import BoolArray, FloatArray, IntArray
from sentinode.tables import PackedSet, Predictions, Split, Unit

__all__ = ["Common", "common_patches"]

FEW_SLIDES = 10


@final
@dataclass(frozen=True)
class Common:
    """Patches that every candidate with predictions scored.

    Attributes:
        names: Of these candidates, M of them.
        ids: Of the patches, N of them, sorted.
        labels: bool (N,).
        probabilities: float64 (M, N) in 0..1.
        units: int64 (N,), codes from 0 of what is resampled.
        unit: ``slides`` or ``patches``.
        fold: That all of them are of by every candidate, None where there is none such.
        said: Which patches these are, in a sentence.
        warnings: What a reader must know of them.
    """

    names: tuple[str, ...]
    ids: tuple[str, ...]
    labels: BoolArray
    probabilities: FloatArray
    units: IntArray
    unit: Unit
    fold: str | None
    said: str
    warnings: tuple[str, ...]

    @property
    def both(self) -> bool:
        """Whether both classes are there, so that an AUC is defined."""
        return bool(self.labels.any() and not self.labels.all())

    @property
    def too_few(self) -> str | None:
        """Why no uncertainty can be told, None where it can: each class needs two units."""
        for value, name in ((True, "tumour"), (False, "normal tissue")):
            found = len(set(self.units[self.labels == value]))
            if found < 2:
                return f"{name} is in {found} of the {self.unit}, two or more are needed"
        return None

    def table(self) -> pd.DataFrame:
        """Return one row a patch: id, label, and each candidate's probability as float32."""
        columns = dict(zip(self.names, self.probabilities.astype(np.float32), strict=True))
        return pd.DataFrame({"id": self.ids, "label": self.labels.astype(np.int8)} | columns)


def common_patches(candidates: Sequence[Candidate], packed: PackedSet | None) -> Common:
    """Find the labelled patches, outside training, that all of them predicted.

    Of each, those of fold test count; where it has none, all labelled ones that taught nothing.
    What packing or the audit left out of the set does not count.

    Args:
        candidates: At least one with predictions.
        packed: Gives labels and slides where the predictions have none.

    Raises:
        InputError: Labels or slides contradict each other or the set, or no patch is common to
            all.
    """
    tables = {
        c.name: _reported(c.name, c.predictions, packed)
        for c in candidates
        if c.predictions is not None
    }
    if not tables:
        raise InputError(
            "no predictions to compare; give --packed SET to make them, or --predictions FILE"
        )
    shared = sorted(set.intersection(*(set(table.index) for table, _ in tables.values())))
    if not shared:
        raise InputError(
            "no labelled patch was predicted by all of them; compare runs on one set: --packed SET"
        )
    frames = [table.loc[shared] for table, _ in tables.values()]
    labels = np.stack([frame["label"].to_numpy("int64") for frame in frames])
    odd = np.flatnonzero((labels != labels[0]).any(axis=0))
    if len(odd):
        raise InputError(f"patch {shared[odd[0]]!r} has two labels among the predictions")
    units, unit = _units(frames)
    folds = {fold for _, fold in tables.values()}
    said = f"{len(shared):,} patches"
    fold = folds.pop() if len(folds) == 1 else None
    said += "" if fold is None else f" of fold {fold}"
    said += f" ({int(labels[0].sum()):,} with tumour)"
    return Common(
        names=tuple(tables),
        ids=tuple(map(str, shared)),
        labels=labels[0].astype(bool),
        probabilities=np.stack([f["probability"].to_numpy("float64") for f in frames]),
        units=units,
        unit=unit,
        fold=fold,
        said=f"{said}, {units.max() + 1:,} slides" if unit == "slides" else said,
        warnings=(
            *_warnings(tables, len(shared), unit, int(units.max()) + 1),
            *_by_the_set(candidates, packed),
            *_left_out(candidates, packed),
        ),
    )


def _reported(
    name: str, predictions: Predictions, packed: PackedSet | None
) -> tuple[pd.DataFrame, str | None]:
    """Return label, slide and probability by id, and the fold they are of."""
    frame = predictions.frame.set_index("id")
    if packed is not None:
        frame = _joined(name, frame, packed)
    frame = frame[frame["label"].notna()]
    for fold in ("test", "valid"):
        some = frame[(frame["fold"] == fold).fillna(False).to_numpy(bool)]
        if len(some):
            return some[["label", "slide", "probability"]], fold
    taught = (frame["fold"] == "train").fillna(False).to_numpy(bool)
    if not len(frame[~taught]):
        raise InputError(f"{name}: no labelled patch outside training was predicted")
    return frame.loc[~taught, ["label", "slide", "probability"]], None


def _joined(name: str, frame: pd.DataFrame, packed: PackedSet) -> pd.DataFrame:
    """Return predictions by id with what the set knows of them, without those it left out."""
    known = packed.manifest.frame.set_index("id").reindex(frame.index)
    joined = frame.copy()
    for column in ("label", "slide"):
        odd = (frame[column] != known[column]).fillna(False).to_numpy(bool)
        if odd.any():
            patch = frame.index[odd][0]
            raise InputError(
                f"{name}: patch {patch!r} has {column} {frame[column].loc[patch]} in the "
                f"predictions and {known[column].loc[patch]} in the set {packed.folder.name}; "
                "give the set that they were made of, or predict again"
            )
        joined[column] = frame[column].fillna(known[column].astype(frame[column].dtype))
    if (split := _split_for(frame, packed)) is not None:
        joined["fold"] = split.folds_of(frame.index.to_series()).to_numpy()
    return joined[~joined.index.isin(_unusable(packed))]


def _unusable(packed: PackedSet) -> pd.Series[str]:
    """Return the ids that packing put aside or the audit left out."""
    ids: pd.Series[str] = packed.manifest.frame["id"][~packed.manifest.usable]
    return ids


def _left_out(candidates: Sequence[Candidate], packed: PackedSet | None) -> list[str]:
    """Say how many patches were predicted that packing or the audit left out."""
    if packed is None:
        return []
    tables = [c.predictions.frame["id"] for c in candidates if c.predictions is not None]
    count = int(_unusable(packed).isin(pd.concat(tables)).sum())
    if not count:
        return []
    return [f"{count:,} of the patches predicted do not count: packing or the audit left them out."]


def _split_for(frame: pd.DataFrame, packed: PackedSet) -> Split | None:
    """Return the set's split where predictions have no folds of their own."""
    path = packed.folder / "split.json"
    if not frame["fold"].isna().all() or not path.is_file():
        return None
    split = Split.read(path)
    return split if split.manifest_hash == packed.manifest.hash else None


def _units(frames: Sequence[pd.DataFrame]) -> tuple[IntArray, Unit]:
    slides = frames[0]["slide"]
    for frame in frames[1:]:
        odd = slides[(slides != frame["slide"]).fillna(False).to_numpy(bool)]
        if len(odd):
            patch = odd.index[0]
            raise InputError(
                f"patch {patch!r} is of slide {odd.iloc[0]!r} in some of the predictions and of "
                f"{frame['slide'].loc[patch]!r} in others; expected one slide, by one name"
            )
        slides = slides.fillna(frame["slide"])
    if slides.notna().all():
        return pd.factorize(slides)[0].astype(np.int64), "slides"
    return np.arange(len(slides), dtype=np.int64), "patches"


def _by_the_set(candidates: Sequence[Candidate], packed: PackedSet | None) -> list[str]:
    """Say whose folds are those of the set, which need not have trained them."""
    names = [
        c.name
        for c in candidates
        if packed is not None
        and c.predictions is not None
        and _split_for(c.predictions.frame, packed) is not None
    ]
    if not names:
        return []
    return [
        f"Folds of {', '.join(names)} are the set's; nothing says that they were trained by them."
    ]


def _warnings(
    tables: dict[str, tuple[pd.DataFrame, str | None]], shared: int, unit: Unit, units: int
) -> list[str]:
    said = []
    chosen = [name for name, (_, fold) in tables.items() if fold == "valid"]
    if chosen:
        said.append(f"Patches of fold valid chose the epoch of {', '.join(chosen)}: optimistic.")
    more = [name for name, (table, _) in tables.items() if len(table) > shared]
    if more:
        said.append(f"Only the {shared:,} patches count that all of them predicted.")
    if unit == "patches":
        said.append(
            "Slides are not known, so patches are resampled; patches of one slide resemble each "
            "other, and the true uncertainty is larger."
        )
    elif units < FEW_SLIDES:
        said.append(
            f"Only {units} slides: intervals and p-values over them are rough and too certain."
        )
    return said
