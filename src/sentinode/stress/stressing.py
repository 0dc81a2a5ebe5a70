"""The main line: a network, a set and every change, each predicted once and kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentinode.config import Config
from sentinode.core import Progress, atomic_path, folder_lock, hash_bytes, hash_json, provenance
from sentinode.errors import InputError
from sentinode.evaluate import StainClusters, cluster_stains
from sentinode.metrics import IntArray, choose_threshold
from sentinode.predict import Predictor
from sentinode.stain import StainTarget
from sentinode.stress.conditions import FAMILIES, Condition, conditions
from sentinode.stress.judging import Judge
from sentinode.stress.lessons import lessons_of
from sentinode.stress.report import Measured, Stressed, StressReport
from sentinode.tables import PackedSet, Unit
from sentinode.types import UInt8Array

if TYPE_CHECKING:
    from sentinode.models import Run

__all__ = ["stress"]

FORMAT = 1
BLOCK = 256
CONFIDENCE = 0.95
FEW_UNITS = 10


@final
@dataclass(frozen=True)
class _Chosen:
    """Rows of the set that are tested, those that choose the threshold, and why these."""

    tested: IntArray
    valid: IntArray
    said: str


def stress(
    run: Run | Path,
    packed: PackedSet,
    config: Config,
    folder: Path,
    targets: Mapping[str, StainTarget] | None = None,
) -> Stressed:
    """Predict a set's labelled patches under every change, and judge each.

    The logits of every condition are kept below ``folder``, so that a test that was interrupted
    goes on, and a longer one takes over what a shorter one found for the same patches.

    Args:
        run: The network: a run, its folder, or an export's folder.
        packed: The set; its fold test is taken where its split has one.
        config: Its sections ``stress``, ``predict`` and, for the threshold, ``evaluate``.
        folder: Where conditions are kept.
        targets: Stains of other images, by name.

    Raises:
        InputError: As of `predict_set`, or no patch to test has a label.
        CheckpointError: The run's weights are damaged.
        BusyError: Another process writes there.
    """
    predictor = Predictor(run, config.predict)
    chosen = _choose(predictor, packed, config)
    clusters = cluster_stains(packed, chosen.tested, config.stress.stains, config.stress.seed)
    stains = clusters.looks if clusters is not None else {}
    every = conditions(stains, targets or {}, config.stress.seed)
    with folder_lock(folder):
        keep = _Kept(folder, packed, predictor)
        found = keep.all(every, chosen.tested)
        valid = keep.all(every[:1], chosen.valid)[0] if len(chosen.valid) else None
    frame = packed.manifest.frame
    clean = predictor.probabilities(found[0])
    threshold, said = _threshold(valid, frame["label"].iloc[chosen.valid], predictor, config)
    units, unit = _units(frame["slide"].iloc[chosen.tested])
    labels = (frame["label"].iloc[chosen.tested] == 1).to_numpy(bool)
    judge = Judge(
        labels, units, clean, threshold, config.stress.resamples, CONFIDENCE, config.stress.seed
    )
    measured = [
        _measured(condition, judge, predictor.probabilities(logits))
        for condition, logits in zip(every, found, strict=True)
    ]
    n_units = int(units.max()) + 1
    shown = chosen.tested[_typical(labels, clean)]
    report = StressReport(
        model=predictor.name,
        headline=f"{predictor.name} on {len(labels):,} patches {chosen.said} "
        f"({int(labels.sum()):,} with tumour), as they are and under {len(every) - 1} changes.",
        warnings=_warnings(labels, n_units, unit, clusters),
        lessons=lessons_of(measured),
        patches=len(labels),
        tumour=int(labels.sum()),
        unit=unit,
        units=n_units,
        confidence=CONFIDENCE,
        threshold=threshold,
        threshold_said=said,
        stains_said=clusters.said if clusters is not None else "",
        conditions=tuple(measured),
        provenance=provenance(
            "stress",
            config={
                "stress": config.stress.settings(),
                "predict": config.predict.fingerprint(),
                "computed": {n: predictor.made_by[n] for n in ("runtime", "device", "precision")},
            },
            inputs={"weights": predictor.weights_hash, "set": packed.meta.content_hash}
            | {f"target {n}": hash_json(t.model_dump()) for n, t in (targets or {}).items()},
            seeds={"stress": config.stress.seed},
        ),
    )
    patch, row = np.asarray(packed.images[shown])[None], np.array([shown])
    pictures = np.concatenate([condition.change(patch, row) for condition in every])
    return Stressed(report, str(frame["id"].iloc[shown]), pictures)


def _typical(labels: NDArray[np.bool_], probabilities: NDArray[np.float64]) -> int:
    """Return the tumour patch of median probability, or any patch of it where none has tumour."""
    among = np.flatnonzero(labels if labels.any() else ~labels)
    return int(among[np.argsort(probabilities[among], kind="stable")[len(among) // 2]])


def _choose(predictor: Predictor, packed: PackedSet, config: Config) -> _Chosen:
    rows, fold = predictor.rows(packed)
    label, fold = packed.manifest.frame["label"].iloc[rows], fold.iloc[rows].fillna("none")
    labelled = label.notna().to_numpy(bool)
    if not labelled.any():
        raise InputError(
            f"no patch of {packed.folder} that can be tested has a label; pack it with labels"
        )
    of = {name: labelled & (fold == name).to_numpy(bool) for name in ("test", "valid")}
    tested, said = of["test"], "of fold test"
    if not tested.any():
        of_valid = of["valid"].any()
        tested, said = (of["valid"], "of fold valid") if of_valid else (labelled, "with a label")
    valid = rows[of["valid"]] if of["test"].any() else rows[:0]
    return _Chosen(_drawn(rows[tested], label[tested].to_numpy(int), config), valid, said)


def _drawn(rows: IntArray, labels: NDArray[np.int64], config: Config) -> IntArray:
    """Draw as many patches as are asked for, either class by its share but at least one."""
    most = config.stress.patches
    if most is None or most >= len(rows):
        return rows
    normal, tumour = rows[labels == 0], rows[labels == 1]
    with_tumour = round(most * len(tumour) / len(rows))
    if len(normal) and len(tumour):
        with_tumour = min(max(with_tumour, 1), most - 1)
    rng = np.random.default_rng(config.stress.seed)
    kept = [
        rng.permutation(of)[:count]
        for of, count in ((normal, most - with_tumour), (tumour, with_tumour))
    ]
    return np.sort(np.concatenate(kept))


@final
class _Kept:
    """Logits of conditions: computed once for these weights, this set and this arithmetic."""

    def __init__(self, folder: Path, packed: PackedSet, predictor: Predictor) -> None:
        self._folder, self._packed, self._predictor = folder, packed, predictor
        self._made = {
            "format": FORMAT,
            "set": packed.meta.content_hash,
            "made_by": predictor.made_by,
        }

    def all(self, every: list[Condition], rows: IntArray) -> list[NDArray[np.float32]]:
        """Return the logits of each condition, float32 (R,)."""
        made = self._made | {"rows": hash_bytes(rows.tobytes())}
        folder = self._folder / "logits" / hash_json(made)[:12]
        there = [_kept(folder / condition.file_name, rows) for condition in every]
        done = sum(kept is not None for kept in there)
        found = []
        with Progress("stress", len(every), unit="conditions", done=done) as progress:
            for condition, kept in zip(every, there, strict=True):
                if kept is not None:
                    found.append(kept)
                    continue
                found.append(self._made_anew(condition, rows, folder / condition.file_name))
                progress.advance()
        return found

    def _made_anew(self, condition: Condition, rows: IntArray, path: Path) -> NDArray[np.float32]:
        logits = self._predictor.logits(self._changed(condition, rows))
        with atomic_path(path) as temporary:
            np.save(temporary, logits)
        return logits

    def _changed(self, condition: Condition, rows: IntArray) -> Iterator[UInt8Array]:
        for start in range(0, len(rows), BLOCK):
            some = rows[start : start + BLOCK]
            yield condition.change(np.asarray(self._packed.images[some]), some)


def _kept(path: Path, rows: IntArray) -> NDArray[np.float32] | None:
    """Return the logits of an earlier test, None where there are none that can be read."""
    try:
        kept: NDArray[np.float32] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return kept if kept.shape == rows.shape else None


def _threshold(
    logits: NDArray[np.float32] | None, labels: pd.Series[int], predictor: Predictor, config: Config
) -> tuple[float, str]:
    settings = config.evaluate
    if settings.threshold == "half":
        return 0.5, "0.5, chosen on nothing"
    if logits is None:
        return 0.5, "0.5, since no validation patches are there to choose on"
    chosen = choose_threshold(
        settings.threshold,
        labels.to_numpy(int),
        predictor.probabilities(logits),
        sensitivity=settings.target_sensitivity,
        miss_cost=settings.miss_cost,
    )
    if chosen is None:
        one = "are of one class" if labels.nunique() < 2 else "all score alike"
        return 0.5, f"0.5, since the {len(logits):,} validation patches {one}"
    said = f"chosen on {len(logits):,} validation patches as they are by the rule "
    return chosen, f"{chosen:.3f}, {said}{settings.threshold}"


def _units(slides: pd.Series[str]) -> tuple[IntArray, Unit]:
    if slides.isna().any():
        return np.arange(len(slides)), "patches"
    return np.asarray(pd.factorize(slides)[0], np.int64), "slides"


def _measured(condition: Condition, judge: Judge, probabilities: NDArray[np.float64]) -> Measured:
    family = FAMILIES.get(condition.family)
    return Measured(
        family=condition.family,
        strength=condition.strength,
        said="as they are" if family is None else family.said(condition.strength),
        target=condition.target,
        figures=judge.figures(probabilities),
    )


def _warnings(
    labels: NDArray[np.bool_],
    units: int,
    unit: Unit,
    clusters: StainClusters | None,
) -> tuple[str, ...]:
    said = []
    if labels.all() or not labels.any():
        only = "tumour" if labels.any() else "normal"
        said.append(f"All patches are {only}: what compares the classes is not defined.")
    if unit == "patches":
        said.append(
            "Intervals resample patches, since their slides are not known; the true uncertainty "
            "is larger."
        )
    elif units < FEW_UNITS:
        said.append(f"Only {units} slides: intervals over them are rough and tend to be narrow.")
    if clusters is None:
        said.append(
            "Too few patches or slides show stain to tell clusters apart: none is moved toward "
            "the stains of this set."
        )
    return tuple(said)
