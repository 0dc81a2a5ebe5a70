"""Whether a map stays when the patch is turned or shifted, or the weights are drawn anew."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from torch import nn

from sentinode.explain.methods import Explainer
from sentinode.metrics import FloatArray, rank_correlation
from sentinode.models import new_network
from sentinode.models.encoders import from_scratch
from sentinode.types import UInt8Array

__all__ = ["cascade", "under_shifts", "under_turns"]

SHIFT = 4  # px
Turn = Callable[[np.ndarray], np.ndarray]
TURNS: tuple[tuple[Turn, Turn], ...] = (
    (lambda a: np.rot90(a, 1, (1, 2)), lambda a: np.rot90(a, -1, (1, 2))),
    (lambda a: np.rot90(a, 2, (1, 2)), lambda a: np.rot90(a, 2, (1, 2))),
    (lambda a: a[:, :, ::-1], lambda a: a[:, :, ::-1]),
)
STAGES = (0.25, 0.5, 0.75, 1.0)


def under_turns(explainer: Explainer, images: UInt8Array, maps: FloatArray) -> FloatArray:
    """Return how alike maps are under a quarter turn, a half turn and a flip: float64 (N,).

    The mean of Spearman's correlations of a patch's map with that of the turned patch, turned
    back. The three generate and stand for all eight orientations.

    Args:
        explainer: Draws the maps.
        images: uint8 (N, H, W, 3).
        maps: Those of ``images``, float64 (N, H, W).
    """
    found = []
    for turn, back in TURNS:
        turned = explainer.maps(np.ascontiguousarray(turn(images)))
        found.append(rank_correlation(back(turned), maps))
    return _mean(found)


def under_shifts(explainer: Explainer, images: UInt8Array, maps: FloatArray) -> FloatArray:
    """Return how alike maps are where both see the same tissue, 4 px further: float64 (N,).

    Shifted to the right and down; the strip that comes in mirrors the patch.
    """
    found = []
    for axis in (1, 2):
        wide = [(0, 0)] * 4
        wide[axis] = (SHIFT, 0)
        padded = np.pad(images, wide, mode="reflect")
        shifted = np.ascontiguousarray(np.take(padded, range(images.shape[axis]), axis))
        side = maps.shape[axis]
        there = np.take(explainer.maps(shifted), range(SHIFT, side), axis)
        here = np.take(maps, range(side - SHIFT), axis)
        found.append(rank_correlation(there, here))
    return _mean(found)


def cascade(
    explainer: Explainer, images: UInt8Array, maps: FloatArray, seed: int = 42
) -> dict[str, FloatArray]:
    """Return how alike maps stay when layers are drawn anew, from the last on.

    The cascading test of Adebayo et al. (2018): a map that stays says nothing of what was learned.
    Weights are drawn as before a training, a pretrained encoder's as before its own.

    Args:
        explainer: Draws the maps.
        images: uint8 (N, H, W, 3).
        maps: Those of ``images``, float64 (N, H, W).
        seed: Of the weights.

    Returns:
        ``sanity_25`` to ``sanity_100`` -> Spearman's correlations, float64 (N,): with that
        percentage of the layers that have weights drawn anew.
    """
    donor = dict(new_network(from_scratch(explainer.spec), seed).named_modules())
    mixed = copy.deepcopy(explainer.network)
    layers = [(name, m) for name, m in mixed.named_modules() if _own_state(m)][::-1]
    found, done = {}, 0
    for stage in STAGES:
        upto = round(stage * len(layers))
        for name, module in layers[done:upto]:
            module.load_state_dict(
                {k: v for k, v in donor[name].state_dict().items() if "." not in k}, strict=False
            )
        done = upto
        drawn = replace(explainer, network=mixed).maps(images)
        found[f"sanity_{stage:.0%}".rstrip("%")] = rank_correlation(drawn, maps)
    return found


def _own_state(module: nn.Module) -> bool:
    return bool(list(module.parameters(recurse=False)))


def _mean(values: list[FloatArray]) -> FloatArray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of patches without any defined value
        return np.asarray(np.nanmean(values, 0), np.float64)
