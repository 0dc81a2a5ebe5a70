"""One row a run, and runs that differ in their seed only taken together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from statistics import mean, stdev
from typing import Any

import numpy as np

from sentinode.compare.candidates import Candidate
from sentinode.compare.common import Common
from sentinode.compare.published import published_of
from sentinode.compare.result import GroupRow, MeanOf, RunRow
from sentinode.core import hash_json
from sentinode.metrics import (
    FloatArray,
    expected_calibration_error,
    recalibration,
    reliability,
    roc_auc,
    spread,
)
from sentinode.models import Run, descriptive_name, summarise
from sentinode.tables import Figure

__all__ = ["group_rows", "groups_of", "recipe_of", "run_rows"]

ONE_CLASS = "needs patches of both classes"


def groups_of(candidates: Sequence[Candidate]) -> dict[str, tuple[Candidate, ...]]:
    """Put runs together that are alike in all but their seed, and the patches drawn with it.

    Alike are the network, all settings but the seed, the set, and the number of patches that
    taught it. Predictions without a run stand alone.

    Returns:
        Name of the group -> its candidates, in the order given.
    """
    by_key: dict[str, list[Candidate]] = {}
    for each in candidates:
        by_key.setdefault(_key(each), []).append(each)
    names = [_common_name([c.name for c in members]) for members in by_key.values()]
    taken = {name for name in names if names.count(name) > 1}
    return {
        (members[0].name if name in taken else name): tuple(members)
        for name, members in zip(names, by_key.values(), strict=True)
    }


def _key(candidate: Candidate) -> str:
    run = candidate.run
    if run is None:
        return candidate.name
    return hash_json({**recipe_of(run), "n": run.trained_on()})


def recipe_of(run: Run) -> dict[str, Any]:
    """Return what made a run: network, settings but the seed, set and what else went into it."""
    made = run.record.provenance
    training = {k: v for k, v in made.config.get("train", {}).items() if k != "seed"}
    inputs = {k: v for k, v in made.inputs.items() if k not in ("split", "manifest")}
    if not training:  # nothing was trained here, so that there is no seed either
        inputs |= {"weights": run.weights_hash}
    return {**made.config, "train": training, "inputs": inputs}


def _common_name(names: Sequence[str]) -> str:
    folders = {name.rpartition("/")[0] for name in names}
    if len(folders) == 1 and (folder := folders.pop()):
        return folder
    if len(names) == 1:
        return names[0]
    same = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    return "".join(letters[0] for letters in same).rstrip("-_./ 0123456789") or names[0]


def run_rows(
    groups: Mapping[str, Sequence[Candidate]],
    common: Common,
    draws: FloatArray,
    boards: Mapping[str, Mapping[str, float]],
    confidence: float,
) -> list[RunRow]:
    """Return a row for each candidate.

    Args:
        groups: Of :func:`groups_of`.
        common: The patches.
        draws: float64 (R, M), AUCs of the candidates of ``common`` by draw.
        boards: Name of a candidate or group -> column -> score.
        confidence: Of the intervals.
    """
    rows = []
    for group, members in groups.items():
        for each in members:
            at = common.names.index(each.name) if each.name in common.names else None
            figures = {} if each.run is None else _trained(each.run)
            scored, auc = _scored(common, at, draws, confidence)
            rows.append(
                RunRow(
                    name=each.name,
                    group=group,
                    seed=None if each.run is None else _seed(each.run),
                    figures=figures | scored,
                    auc=auc,
                    boards=dict(boards.get(each.name) or boards.get(group) or {}),
                    published={} if each.run is None else _published(each.run),
                    maps={f"{m.method}, {m.place}: {m.score}": m.value for m in each.maps},
                )
            )
    return rows


def _training(run: Run) -> Mapping[str, Any]:
    found: Mapping[str, Any] = run.record.provenance.config.get("train", {})
    return found


def _seed(run: Run) -> int | None:
    return run.record.provenance.seeds.get("train")


def _published(run: Run) -> dict[str, float]:
    return published_of(run.spec.name, _training(run).get("learning_rate"), run.trained_on())


def _trained(run: Run) -> dict[str, float | None]:
    record, training = run.record, _training(run)
    timing, kept = record.timing, record.metrics
    figures: dict[str, float | None] = {
        "parameters": summarise(run.spec).parameters,
        "learning_rate": training.get("learning_rate"),
        "patches": run.trained_on(),
        "epochs": len(timing.get("epochs", [])) or None,
        "kept_epoch": record.best_epoch,
        "train_accuracy": kept.get("accuracy"),
        "valid_accuracy": kept.get("valid_accuracy"),
        "valid_auc": kept.get("valid_auc"),
        "train_patches_per_s": timing.get("train_patches_per_s"),
        "valid_patches_per_s": timing.get("valid_patches_per_s"),
    }
    rate = timing.get("train_patches_per_s")
    if rate and "batch_size" in training:
        step = training["batch_size"] * training.get("accumulate", 1)
        figures["ms_per_step"] = 1000 * step / rate
        figures["longest_epoch_s"] = max(e["train_s"] + e["valid_s"] for e in timing["epochs"])
    return figures


def _scored(
    common: Common, at: int | None, draws: FloatArray, confidence: float
) -> tuple[dict[str, float | None], Figure]:
    if at is None:
        return {}, Figure(value=None, note="not predicted")
    y, p = common.labels, common.probabilities[at]
    slope = recalibration(y, p, common.units)
    figures: dict[str, float | None] = {
        "test_accuracy": float(((p >= 0.5) == y).mean()),
        "ece_mass": expected_calibration_error(reliability(y, p, "mass")),
        "slope": None if slope is None else slope.slope.value,
    }
    if not common.both:
        return figures, Figure(value=None, note=ONE_CLASS)
    found = spread(draws[:, at], confidence)
    ends = {} if found is None else {"low": found.low, "high": found.high}
    return figures, Figure(value=roc_auc(y, p), **ends)


def group_rows(
    groups: Mapping[str, Sequence[Candidate]],
    rows: Sequence[RunRow],
    common: Common,
    draws: FloatArray,
    confidence: float,
) -> list[GroupRow]:
    """Return a row for each group, the best ROC AUC first; arguments as of :func:`run_rows`."""
    made = []
    for name, members in groups.items():
        own = [row for row in rows if row.group == name]
        places = [common.names.index(m.name) for m in members if m.name in common.names]
        aucs = [row.auc.value for row in own if row.auc.value is not None]
        made.append(
            GroupRow(
                name=name,
                network=_network(members[0]),
                runs=tuple(m.name for m in members),
                draws=_draws(members),
                auc=_mean_auc(aucs, draws[:, places], confidence),
                auc_sd=float(np.std(aucs, ddof=1)) if _differ_in_seed(own) else None,
                means=_means([row.figures for row in own]),
                boards={k: m.mean for k, m in _means([row.boards for row in own]).items()},
                published=own[0].published,
                maps=_means([row.maps for row in own]),
            )
        )
    return sorted(made, key=lambda g: (-(g.auc.value if g.auc.value is not None else -1), g.name))


def _differ_in_seed(rows: Sequence[RunRow]) -> bool:
    """Whether those scored are two or more, each of a known seed that no other has."""
    seeds = [row.seed for row in rows if row.auc.value is not None]
    return len(seeds) > 1 and None not in seeds and len(set(seeds)) == len(seeds)


def _network(candidate: Candidate) -> str:
    if candidate.run is None:
        return "predictions without a run"
    return descriptive_name(
        candidate.run.spec, _training(candidate.run).get("optimizer", candidate.run.origin)
    )


def _draws(members: Sequence[Candidate]) -> int | None:
    splits = {m.run.record.provenance.inputs.get("split") for m in members if m.run is not None}
    return len(splits) if splits and None not in splits else None


def _mean_auc(aucs: Sequence[float], draws: FloatArray, confidence: float) -> Figure:
    if not aucs:
        return Figure(value=None, note="not predicted, or one class only")
    found = spread(draws.mean(axis=1), confidence)
    ends = {} if found is None else {"low": found.low, "high": found.high}
    return Figure(value=float(np.mean(aucs)), **ends)


def _means(rows: Sequence[Mapping[str, float | None]]) -> dict[str, MeanOf]:
    names = dict.fromkeys(name for row in rows for name in row)
    found = {}
    for name in names:
        values = [v for row in rows if (v := row.get(name)) is not None and np.isfinite(v)]
        if values:
            sd = stdev(values) if len(values) > 1 else None
            found[name] = MeanOf(mean=mean(values), sd=sd, runs=len(values))
    return found
