"""Which patches train, which choose, and which are reported."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentinode.core import folder_lock, provenance
from sentinode.data.auditing import AUDIT_FILE
from sentinode.data.drawing import drawn
from sentinode.data.duplicates import copies_within, groups_of
from sentinode.errors import InputError
from sentinode.tables import PackedSet, Split
from sentinode.types import Fold

if TYPE_CHECKING:  # a worker process does without
    from sentinode.config import SplitConfig

__all__ = ["SPLIT_FILE", "propose", "split"]

SPLIT_FILE = "split.json"

By = Literal["official", "patient", "slide", "group", "random"]

OPTIMISTIC: dict[By, str | None] = {
    "official": None,
    "patient": None,
    "slide": None,
    "group": "the source names no slides, so that patches of one slide stand in several folds",
    "random": "patches were split at random, so that patches of one slide stand in several folds",
}


def split(packed: PackedSet, config: SplitConfig) -> Split:
    """Make a split as :func:`propose` does, and write it into the set's folder."""
    with folder_lock(packed.folder):
        made = propose(packed, config)
        made.write(packed.folder / SPLIT_FILE)
    return made


def propose(packed: PackedSet, config: SplitConfig) -> Split:
    """Decide the fold of every usable patch.

    Without being told how, it takes the source's own folds where it has two or more with labels,
    else splits by patient or slide where they are known, else by groups of copies of one tissue.

    Args:
        packed: The set, audited or not.
        config: How to split, its seed and shares; one fold of a cross-validation, or one centre
            left out.

    Raises:
        InputError: The patches have one class only, a slide stands in two of the source's folds,
            some patches have a slide or a fold and others none, a slide has two patients, or
            there are too few slides.
    """
    plan = _Plan.of(packed, config)
    frame = plan.frame
    frame["fold"] = _folds(plan, config)
    _check_classes(frame, plan)
    frame = frame[drawn(frame, config)]
    plan.notes += _parted(frame)
    units: dict[Fold, dict[str, tuple[str, ...]]] = {
        fold: _units(frame[frame["fold"] == fold]) for fold in ("train", "valid", "test")
    }
    taken = {unit for each in units.values() for unit in each}
    units["unlabelled"] = _alone(plan.unlabelled, taken)
    seeds = {} if config.draw_seed is None else {"draw": config.draw_seed}
    return Split(
        by=plan.by,
        seed=config.seed,
        manifest_hash=packed.manifest.hash,
        optimistic=None if config.leave_out is not None else OPTIMISTIC[plan.by],
        notes=tuple(plan.notes),
        units=units,
        provenance=provenance(
            "split",
            config=config.fingerprint(),
            inputs={"set": packed.meta.content_hash, "manifest": packed.manifest.hash},
            seeds={"split": config.seed} | seeds,
        ),
    )


@final
@dataclass
class _Plan:
    """What is to be split.

    Attributes:
        by: What decides.
        frame: Usable labelled patches: id, label, unit, source_fold, centre, group.
        unlabelled: Ids of usable patches without a label.
        notes: What the reader of a report should know.
    """

    by: By
    frame: pd.DataFrame
    unlabelled: list[str]
    notes: list[str]

    @classmethod
    def of(cls, packed: PackedSet, config: SplitConfig) -> _Plan:
        frame = packed.manifest.frame[packed.manifest.usable]
        labelled = frame[frame["label"].notna()]
        _check_asked(config)
        _check_both(labelled, f"{packed.folder}")
        folds = set(labelled["source_fold"].dropna())
        has_official = "train" in folds and not folds.isdisjoint({"valid", "test"})
        known = labelled[["patient", "slide"]].notna()
        by: By
        anew = config.folds is not None or config.leave_out is not None
        if config.by == "auto":
            by = "official" if has_official and not anew else _finest(known)
        else:
            by = config.by
        if by == "official":
            _check_official(labelled, f"{packed.folder}", has_official)
        notes = []
        if has_official and by != "official":
            notes.append("The source's own folds were not used.")
        if config.by == "auto" and by in ("slide", "group") and known["patient"].any():
            notes.append(_some_without(labelled["id"][~known["patient"]], len(labelled), by))
        unit = _unit(packed, labelled, "random" if by == "random" else by)
        kept = (
            labelled[["id", "label", "source_fold", "centre", "group"]]
            .assign(unit=unit)
            .reset_index(drop=True)
        )
        return cls(by, kept, frame["id"][frame["label"].isna()].tolist(), notes)


def _unit(packed: PackedSet, labelled: pd.DataFrame, by: By) -> pd.Series[str]:
    """Return the unit of every patch: what must stay in one fold."""
    if by == "random":
        return labelled["id"]
    what = "patient" if by == "patient" else "slide"
    owners = labelled[what]
    if owners.notna().any() and by != "group":
        if owners.isna().any():
            raise InputError(
                f"{int(owners.isna().sum()):,} of {len(owners):,} patches have no {what}, as "
                f"{labelled['id'][owners.isna()].iloc[0]!r}; complete the slide map, or give "
                "--by group or --by random"
            )
        if by == "patient":
            _check_patients(labelled)
        return owners
    if by in ("slide", "patient"):
        raise InputError(
            f"{packed.folder}: no {what}s are known; put slide_map.csv (id,wsi, and patient where "
            "known) beside the labels and pack again, or give --by group"
        )
    group = _groups(packed).loc[labelled.index]
    frame = packed.manifest.frame
    bare = group.isin(frame["id"][frame["label"].isna()])  # units of their own have this name
    group = group.mask(bare, labelled["id"].groupby(group).transform("first"))
    if by == "official":  # a duplicate in another of the source's folds stays where it is
        same = [group, labelled["source_fold"]]
        return labelled["id"].groupby(same).transform("first").astype("string")
    return group


def _some_without(ids: pd.Series[str], count: int, by: By) -> str:
    return (
        f"{len(ids):,} of {count:,} patches have no patient, as {ids.iloc[0]}: the split is by "
        f"{by}, and patches of one patient may stand in several folds."
    )


def _check_patients(labelled: pd.DataFrame) -> None:
    patients = labelled.groupby("slide")["patient"].nunique()
    if (patients > 1).any():
        slide = patients.index[patients > 1][0]
        names = sorted(set(labelled["patient"][labelled["slide"] == slide]))
        raise InputError(
            f"slide {slide!r} has patches of more than one patient ({', '.join(names[:3])}); "
            "correct the slide map, or give --by slide"
        )


def _groups(packed: PackedSet) -> pd.Series[str]:
    """Return the group of copies of every patch, by the id of its first; as the audit found it."""
    frame = packed.manifest.frame
    if (packed.folder / AUDIT_FILE).is_file():
        return frame["group"].fillna(frame["id"])
    first = groups_of(copies_within(packed), len(frame))
    return frame["id"].take(first).set_axis(frame.index)


def _finest(known: pd.DataFrame) -> By:
    """Return the best unit that the set knows: patients if of all patches, else slides."""
    if known["patient"].all():
        return "patient"
    return "slide" if known["slide"].any() else "group"


def _check_official(labelled: pd.DataFrame, where: str, has_official: bool) -> None:
    if not has_official:
        raise InputError(f"{where}: the source has no folds of its own; leave out --by")
    without = labelled["id"][labelled["source_fold"].isna()]
    if len(without):
        raise InputError(
            f"{len(without):,} of {len(labelled):,} patches have no fold in a source that has "
            f"folds of its own, as {without.iloc[0]!r}; complete it, or give --by slide or "
            "--by group to split anew"
        )


def _check_asked(config: SplitConfig) -> None:
    if config.folds is not None and config.leave_out is not None:
        raise InputError("split.folds and split.leave_out are two ways; give one of them")
    if config.folds is not None and config.fold > config.folds:
        raise InputError(f"split.fold is {config.fold}, of {config.folds} folds")
    if config.by == "official" and (config.folds is not None or config.leave_out is not None):
        raise InputError(
            "--by official takes the source's folds as they are; with split.folds or "
            "split.leave_out give --by slide or --by group"
        )


def _folds(plan: _Plan, config: SplitConfig) -> pd.Series[str]:
    """Return the fold of every patch of the plan."""
    frame = plan.frame
    if plan.by == "official":
        return _official(plan, config)
    if config.leave_out is not None:
        reported = _centre(frame, config.leave_out)
        said = f"Centre {config.leave_out} is reported, the others train and choose."
    elif config.folds is not None:
        reported = _dealt(frame, config.folds, config)
        said = f"Fold {config.fold} of {config.folds} of a cross-validation is reported."
    else:
        shares = {"test": config.test_fraction, "valid": config.valid_fraction}
        return _draw(frame, shares, "train", config)
    plan.notes.append(said)
    fold = pd.Series("test", frame.index, dtype="string")
    rest = frame[~reported]
    fold.loc[rest.index] = _draw(rest, {"valid": config.valid_fraction}, "train", config)
    return fold


def _centre(frame: pd.DataFrame, name: str) -> NDArray[np.bool_]:
    centre = frame["centre"]
    known = sorted(set(centre.dropna()))
    if name not in known or centre.isna().any():
        came = f"patches of {', '.join(known)}" if known else "patches without a centre"
        if known and centre.isna().any():
            came += " and some without one"
        raise InputError(
            f"split.leave_out is {name!r}, the set has {came}; give the centre of every patch in "
            "the slide map (id,wsi,centre) or the table"
        )
    if len(known) < 2:
        raise InputError(f"{name} is the set's only centre; nothing is left to train on")
    centres = frame.groupby("unit")["centre"].nunique()
    if (centres > 1).any():
        raise InputError(
            f"slide {centres.index[centres > 1][0]!r} has patches of more than one centre"
        )
    return (centre == name).to_numpy(bool)


def _dealt(frame: pd.DataFrame, folds: int, config: SplitConfig) -> NDArray[np.bool_]:
    """Tell which patches are in the reported fold of a cross-validation."""
    from sklearn.model_selection import StratifiedGroupKFold  # late: it costs half a second

    units = frame["unit"].nunique()
    if units < folds + 1:
        raise InputError(
            f"{units} slide(s) or group(s) cannot be dealt into {folds} folds; give fewer"
        )
    dealer = StratifiedGroupKFold(folds, shuffle=True, random_state=config.seed)
    label = frame["label"].to_numpy(int)
    most = int(np.bincount(label, minlength=2).max())
    if most < folds:
        raise InputError(f"{most} patch(es) of a class cannot be dealt into {folds} folds")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of few patches of a class: checked later
        dealt = list(dealer.split(label, label, frame["unit"].to_numpy(object)))
    reported = np.zeros(len(frame), bool)
    reported[dealt[config.fold - 1][1]] = True
    return reported


def _official(plan: _Plan, config: SplitConfig) -> pd.Series[str]:
    frame = plan.frame
    folds_of_unit = frame.groupby("unit")["source_fold"].nunique()
    if (folds_of_unit > 1).any():
        slide = folds_of_unit.index[folds_of_unit > 1][0]
        where = sorted(set(frame["source_fold"][frame["unit"] == slide]))
        raise InputError(
            f"slide {slide!r} stands in the source's folds {' and '.join(where)}; "
            "give --by slide to split anew"
        )
    fold = frame["source_fold"].copy()
    if {"valid", "test"} <= set(fold):
        plan.notes.append("The folds are the source's own.")
        return fold
    reported = "test" if "test" in set(fold) else "valid"
    fold = fold.replace(reported, "test")
    training = frame[fold == "train"]
    fold.loc[training.index] = _draw(training, {"valid": config.valid_fraction}, "train", config)
    plan.notes.append(
        f"The source has the folds train and {reported}: {reported} is reported, and "
        f"{config.valid_fraction:.0%} of the training patches choose the epoch and the threshold; "
        "where slides are not known, these share slides with the patches trained on."
    )
    return fold


def _draw(
    frame: pd.DataFrame, shares: dict[str, float], rest: str, config: SplitConfig
) -> pd.Series[str]:
    """Draw units into folds so that each fold gets its share of either class.

    Units come in random order, large ones first; each goes to the fold that lacks most of what
    the unit brings.
    """
    counts = pd.crosstab(frame["unit"], frame["label"]).reindex(columns=[0, 1], fill_value=0)
    names = [*shares, rest]
    wanted = np.array([*shares.values(), 1 - sum(shares.values())])
    if wanted[-1] <= 0:
        raise InputError("split.valid_fraction and split.test_fraction leave nothing to train on")
    if len(counts) < len(names):
        raise InputError(
            f"{len(counts)} slide(s) cannot be split into {len(names)} folds; "
            "more slides are needed, or --by random"
        )
    order = np.random.default_rng(config.seed).permutation(len(counts))
    units = counts.iloc[order]
    units = units.iloc[np.argsort(-units.sum(axis=1).to_numpy(), kind="stable")]
    fold = dict(zip(units.index, _greedy(units.to_numpy(float), wanted), strict=True))
    return frame["unit"].map(fold).map(dict(enumerate(names))).astype("string")


def _greedy(units: NDArray[np.float64], wanted: NDArray[np.float64]) -> list[int]:
    totals = units.sum(0)
    target = wanted[:, None] * totals
    have = np.zeros_like(target)
    chosen = []
    for unit in units:
        lacking = (1 - have / target) @ (unit / totals)
        fold = int(np.argmax(lacking))
        have[fold] += unit
        chosen.append(fold)
    return chosen


def _parted(frame: pd.DataFrame) -> list[str]:
    """Say how many groups of copies that an audit found stand in several folds."""
    count = int((frame.groupby("group")["fold"].nunique() > 1).sum())
    if not count:
        return []
    return [
        f"{count:,} group(s) of copies of one tissue, of duplicates.csv, stand in several folds."
    ]


def _check_both(frame: pd.DataFrame, where: str) -> None:
    labels = sorted(set(frame["label"].astype(int)))
    if labels != [0, 1]:
        came = f"only label {labels[0]}" if labels else "no labelled patch"
        raise InputError(f"{where}: expected patches of both classes, got {came}")


def _check_classes(frame: pd.DataFrame, plan: _Plan) -> None:
    for name in ("train", "valid", "test"):
        fold = frame[frame["fold"] == name]
        if fold["label"].nunique() < 2:
            came = f"only label {fold['label'].iloc[0]}" if len(fold) else "no patch"
            raise InputError(
                f"fold {name} would get {came}: {frame['unit'].nunique()} units are too few for "
                "these shares; try another --set split.seed=..., larger shares, or --by random"
            )


def _alone(patches: list[str], taken: set[str]) -> dict[str, tuple[str, ...]]:
    """Return a unit for each patch by its id, lengthened where a slide is called the same."""
    units: dict[str, tuple[str, ...]] = {}
    for patch in patches:
        name = patch
        while name in taken or name in units:
            name += " (no label)"
        units[name] = (patch,)
    return units


def _units(frame: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    return {str(unit): tuple(ids) for unit, ids in frame.groupby("unit", sort=True)["id"]}
