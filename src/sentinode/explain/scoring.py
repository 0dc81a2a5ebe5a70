"""Scores of a network's maps: one row a patch, and one with an interval for each score."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import pandas as pd
from scipy import ndimage

from sentinode.config import Config
from sentinode.core import Progress
from sentinode.errors import InputError
from sentinode.explain.faithful import insertion_deletion, removal
from sentinode.explain.fields import effective_side
from sentinode.explain.methods import CAMS, Baseline, Explainer, Method
from sentinode.explain.regions import MaskedPatches
from sentinode.explain.stability import cascade, under_shifts, under_turns
from sentinode.metrics import (
    FloatArray,
    area_matched_iou,
    border_frame,
    centre_square,
    effective_area,
    heterogeneity,
    mean_interval,
    pixel_auc,
    pointing_game,
    positive_share,
)
from sentinode.models import Run, choose_compute, deterministic
from sentinode.predict import set_rows
from sentinode.tables import PackedSet
from sentinode.types import Fold, UInt8Array

__all__ = ["SCORES", "ScoredRun", "score_run", "tumour_patches"]

LEAST_SIDE = 64
AT_ONCE = 16
NETWORK, DARK, MIDDLE = "network", "control: optical density", "control: middle of the patch"

SCORES: dict[str, str] = {
    "logit": "logit of tumour",
    "centre": "share of positive attribution in the centre 32×32",
    "border": "share of positive attribution within 8 px of the edges",
    "area": "share of the patch that it spreads over",
    "pointing": "largest value lies on tumour (pointing game)",
    "iou": "IoU with the mask, at the mask's area",
    "pixel_auc": "ROC AUC of pixels against the mask",
    "deletion_gain": "deletion: gain over smooth noise",
    "insertion_gain": "insertion: gain over smooth noise",
    "turned": "rank correlation when turned",
    "shifted": "rank correlation when shifted by 4 px",
    "turned_homogeneous": "… when turned, most homogeneous half",
    "turned_varied": "… when turned, most varied half",
    "shifted_homogeneous": "… when shifted, most homogeneous half",
    "shifted_varied": "… when shifted, most varied half",
    "sanity_25": "rank correlation, last quarter of the layers random",
    "sanity_50": "… last half random",
    "sanity_75": "… last three quarters random",
    "sanity_100": "… all random",
    "occlude_centre": "fall of the logit, centre 32×32 hidden",
    "occlude_corner": "… as much hidden in a corner",
    "occlude_rim": "… all but the centre hidden",
    "field_50": "centred square with half of the gradient, px",
    "field_95": "centred square with 95 % of the gradient, px",
    "mask_share": "share of the patch that is tumour",
}
"""Every score and what it is."""


@final
@dataclass(frozen=True)
class ScoredRun:
    """The scores of one network.

    Attributes:
        name: Of the run.
        weights: SHA-256 of its weights.
        patches: method, id, unit and the scores, one row for each method and patch.
        summary: method, score, value, low, high, patches, units.
        layer: Where Grad-CAM and its kin are drawn from, in words.
        remark: Of the patches, as of `MaskedPatches`.
    """

    name: str
    weights: str
    patches: pd.DataFrame
    summary: pd.DataFrame
    layer: str
    remark: str


def tumour_patches(
    folder: Path, runs: Sequence[Run], count: int, folds: Sequence[Fold] | None
) -> MaskedPatches:
    """Take up to ``count`` tumour patches of a packed set, evenly over it, without masks.

    Args:
        folder: The set; where it has a split, the fold ``test`` is taken unless told.
        runs: Networks whose maps will be scored on them.
        count: How many.
        folds: Folds to take from.

    Raises:
        InputError: There is no tumour patch, folds were named and there is no split, or a network
            does not fit the set or was trained on another split of it.
    """
    packed = PackedSet.open(folder)
    has_split = (folder / "split.json").is_file()
    if has_split and folds is None:
        folds = ("test",)
    allowed = [set_rows(run, packed, folds) for run in runs]  # the same for all, or refused
    frame = packed.manifest.frame
    tumour = (frame["label"] == 1).fillna(value=False).to_numpy(bool)
    rows = allowed[0][tumour[allowed[0]]]
    if not len(rows):
        raise InputError(f"{folder} has no tumour patch in the folds asked for")
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, count).round().astype(int))]
    images = np.asarray(packed.images[rows])
    slides = frame["slide"].iloc[rows]
    units = pd.factorize(slides)[0] if slides.notna().all() else np.arange(len(rows))
    masks = np.zeros(images.shape[:3], np.bool_)
    ones = np.ones(len(rows), np.int64)
    ids = tuple(frame["id"].iloc[rows].astype(str))
    remark = ""
    if not has_split or "train" in (folds or ()):
        why = "some are of fold train" if has_split else f"{folder.name} has no split"
        remark = f"Networks may have learnt from these patches: {why}."
    return MaskedPatches(images, masks, ids, np.asarray(units, np.int64), ones, remark)


def score_run(
    run: Run,
    patches: MaskedPatches,
    methods: Sequence[Method],
    config: Config,
    *,
    layer: str | None = None,
    baseline: Baseline = "mean",
    few: int = 24,
    resamples: int = 2000,
    seed: int = 42,
    name: str | None = None,
) -> ScoredRun:
    """Score the maps of evidence for tumour.

    Args:
        run: The network.
        patches: With tumour in their centres; masks that are empty leave out what needs one.
        methods: Of attribution; Grad-CAM and its kin are left out where the network has no layer
            to draw from.
        config: Its section ``predict`` gives the device.
        layer: For Grad-CAM and its kin.
        baseline: As of :class:`Explainer`.
        few: Patches on which stability and sanity are measured, which take many maps each.
        resamples: Of the intervals.
        seed: Of noise, weights and resamples.
        name: What it is called in tables, its folder's name where None.

    Raises:
        InputError: Patches of another size, or too small for a centre and its corners.
    """
    size = run.spec.preprocess.size
    if patches.images.shape[1] != size or size < LEAST_SIDE:
        raise InputError(
            f"{run.spec.name} takes patches of {size} px, got {patches.images.shape[1]} px; maps "
            f"are scored on patches of its own size, at least {LEAST_SIDE} px"
        )
    compute = choose_compute(config.predict.device, "float32")
    parts, said = [], "none"
    with ExitStack() as stack, deterministic(compute):
        total = len(patches) * (len(methods) + 1)
        progress = stack.enter_context(Progress(f"score {name or run.folder.name}", total, "maps"))
        plain = Explainer.of(run.load(), run.spec, compute, "occlusion")
        fields = _fields(plain, patches.images)
        parts.append(_rows(NETWORK, patches, _of_network(plain, patches.images)))
        progress.advance(len(patches))
        for method in methods:
            of_layer = layer if method in CAMS else None
            explainer = Explainer.of(
                run.load(), run.spec, compute, method, layer=of_layer, baseline=baseline
            )
            said = explainer.layer.said if explainer.layer is not None else said
            scores = _of_method(explainer, patches, few, seed, progress)
            parts.append(_rows(method, patches, scores))
    if patches.masks.any():
        parts += [_rows(name, patches, _agreement(m, patches)) for name, m in _controls(patches)]
    table = pd.concat(parts, ignore_index=True)
    summary = _summary(table, resamples, seed)
    summary = pd.concat([summary, fields], ignore_index=True)
    return ScoredRun(
        name or run.folder.name, run.weights_hash, table, summary, said, patches.remark
    )


def _of_network(explainer: Explainer, images: UInt8Array) -> dict[str, FloatArray]:
    return {"logit": explainer.logits(images)} | removal(explainer, images)


def _fields(explainer: Explainer, images: UInt8Array) -> pd.DataFrame:
    """Return the effective receptive field of the logit, of all patches together."""
    gradient = explainer.gradients(images).sum(0)
    rows = [
        {"method": NETWORK, "score": name, "value": effective_side(gradient, share)}
        for name, share in (("field_50", 0.5), ("field_95", 0.95))
    ]
    return pd.DataFrame(rows).assign(patches=len(images))


def _of_method(
    explainer: Explainer, patches: MaskedPatches, few: int, seed: int, progress: Progress
) -> dict[str, FloatArray]:
    parts: list[dict[str, FloatArray]] = []
    drawn = []
    for start in range(0, len(patches), AT_ONCE):
        some = patches.take(np.arange(start, min(len(patches), start + AT_ONCE)))
        maps = explainer.maps(some.images)
        drawn.append(maps)
        parts.append(_shape(maps) | _agreement(maps, some))
        parts[-1] |= insertion_deletion(explainer, some.images, maps, seed)
        progress.advance(len(some))
    scores = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    rows = np.unique(np.linspace(0, len(patches) - 1, min(few, len(patches))).round().astype(int))
    images, maps = patches.images[rows], np.concatenate(drawn)[rows]
    varied = heterogeneity(images)
    measured = {"turned": under_turns(explainer, images, maps)}
    measured["shifted"] = under_shifts(explainer, images, maps)
    for name in ("turned", "shifted"):
        low = varied <= np.median(varied)
        measured[f"{name}_homogeneous"] = np.where(low, measured[name], np.nan)
        measured[f"{name}_varied"] = np.where(low, np.nan, measured[name])
    measured |= cascade(explainer, images, maps, seed)
    for name, values in measured.items():
        scores[name] = np.full(len(patches), np.nan)
        scores[name][rows] = values
    return scores


def _shape(maps: FloatArray) -> dict[str, FloatArray]:
    side = maps.shape[1]
    return {
        "centre": positive_share(maps, centre_square(side)),
        "border": positive_share(maps, border_frame(side)),
        "area": effective_area(maps),
    }


def _agreement(maps: FloatArray, patches: MaskedPatches) -> dict[str, FloatArray]:
    if not patches.masks.any():
        return {}
    positive = np.maximum(maps, 0)
    return {
        "pointing": pointing_game(positive, patches.masks),
        "iou": area_matched_iou(positive, patches.masks),
        "pixel_auc": pixel_auc(positive, patches.masks),
    }


def _controls(patches: MaskedPatches) -> list[tuple[str, FloatArray]]:
    """Return maps that know nothing of a network: where it is dark, and the middle."""
    density = -np.log(np.maximum(patches.images, 1) / 255.0).sum(3)
    dark = ndimage.gaussian_filter(density, (0, 4, 4))
    side = patches.images.shape[1]
    away = (np.arange(side) - (side - 1) / 2) ** 2
    middle = np.exp(-(away[:, None] + away) / (2 * (side / 4) ** 2))
    return [(DARK, dark), (MIDDLE, np.broadcast_to(middle, dark.shape))]


def _rows(method: str, patches: MaskedPatches, scores: dict[str, FloatArray]) -> pd.DataFrame:
    table = pd.DataFrame({"method": method, "id": list(patches.ids), "unit": patches.units})
    if method == NETWORK and patches.masks.any():
        table["mask_share"] = patches.masks.mean((1, 2))
    return table.assign(**scores)


def _summary(table: pd.DataFrame, resamples: int, seed: int) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for method, part in table.groupby("method", sort=False):
        for score in [name for name in SCORES if name in part]:
            values, units = part[score].to_numpy(float), part["unit"].to_numpy(np.int64)
            found = mean_interval(values, units, resamples=resamples, seed=seed)
            if found is None:
                continue
            mean, interval = found
            defined = ~np.isnan(values)
            rows.append(
                {
                    "method": method,
                    "score": score,
                    "value": mean,
                    "low": interval.low,
                    "high": interval.high,
                    "patches": int(defined.sum()),
                    "units": len(np.unique(units[defined])),
                }
            )
    return pd.DataFrame(rows)
