"""Inside a network: the kernels of every convolution, and what every layer makes of a patch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch

from sentinode.config import Config
from sentinode.core import Progress, folder_lock
from sentinode.explain.choosing import Pick
from sentinode.explain.explaining import (
    caption,
    chosen_patches,
    described,
    file_name,
    remove_earlier,
)
from sentinode.explain.filters import kernels_of
from sentinode.explain.hooks import outputs_of
from sentinode.explain.layers import shapes_of
from sentinode.explain.methods import Explainer
from sentinode.explain.patches import Patches
from sentinode.models import Run, choose_compute, deterministic
from sentinode.plots import tiles_png
from sentinode.types import Fold, UInt8Array

__all__ = ["Inside", "draw_feature_maps", "draw_filters", "draw_inside"]


@final
@dataclass(frozen=True)
class Inside:
    """The figures that were written: of filters, and of feature maps."""

    filters: tuple[Path, ...]
    maps: tuple[Path, ...]


def draw_inside(
    run: Run,
    path: Path,
    config: Config,
    out: Path,
    *,
    picks: Sequence[Pick] = ("certain",),
    count: int = 2,
    examples: str | None = None,
    folds: Sequence[Fold] | None = None,
    threshold: float = 0.5,
) -> Inside:
    """Draw the filters of a run, and the feature maps of some patches.

    Args:
        run: The network.
        path: A packed set, a folder of images, or one image.
        config: Its section ``predict`` is used.
        out: The folder; filters in ``filters/``, feature maps in ``features/PATCH/``.
        picks: As of :func:`sentinode.explain.explain`.
        count: Patches of each pick.
        examples: A list to take instead.
        folds: Folds to pick from.
        threshold: A patch at or above it is called tumour.
    """
    compute = choose_compute(config.predict.device, "float32")
    with folder_lock(out), ExitStack() as stack, deterministic(compute):
        explainer = Explainer.of(run.load(), run.spec, compute, "occlusion")
        patches = Patches.of(run, path, config, stack, folds=folds)
        rows, picked, _ = chosen_patches(patches, picks, count, examples, threshold)
        table = described(patches.table.iloc[rows], picked, threshold)
        said = list(table.itertuples(index=False))
        filters = draw_filters(explainer, out / "filters")
        maps = draw_feature_maps(explainer, patches.read(rows), said, out / "features")
        return Inside(tuple(filters), tuple(maps))


def draw_filters(explainer: Explainer, out: Path) -> list[Path]:
    """Write ``filters-LAYER.png`` for every convolution; none for a network without one.

    The first convolution of a colour network is drawn in colour, each filter stretched to its own
    range; of the others every kernel of every filter is drawn, a row for each filter.
    """
    found = kernels_of(explainer.network)
    written = [out / f"filters-{number:02d}-{name}.png" for number, name in enumerate(found)]
    remove_earlier(out.glob("*.png"), r"filters-\d{2,}-.*", written)
    for number, (path, (name, kernels)) in enumerate(zip(written, found.items(), strict=True)):
        values = kernels.double().numpy()
        outputs, inputs, side, _ = values.shape
        title = f"{explainer.spec.name}, {name}: {outputs} filters of {inputs}×{side}×{side}"
        if inputs == 3 and number == 0:
            low = values.min((1, 2, 3), keepdims=True)
            reach = np.maximum(values.max((1, 2, 3), keepdims=True) - low, 1e-12)
            tiles = ((values - low) / reach).transpose(0, 2, 3, 1)
            tiles_png(path, tiles, title=title, said="in colour, each stretched to its range")
        else:
            tiles = values.reshape(outputs * inputs, side, side)
            said = "a row for each filter, a tile for each channel that it takes"
            tiles_png(path, tiles, title=title, said=said, columns=inputs)
    return written


def draw_feature_maps(
    explainer: Explainer, images: UInt8Array, rows: Sequence[object], out: Path
) -> list[Path]:
    """Write a PNG for every layer and patch with all its channels.

    Args:
        explainer: Of the network.
        images: uint8 (N, H, W, 3).
        rows: For each patch what :func:`caption` takes: id, label, predicted, confidence.
        out: The folder; a folder for each patch is made in it.
    """
    shapes = shapes_of(explainer.network, explainer.spec)
    names = [name for name, shape in shapes.items() if len(shape) == 3 and min(shape[1:]) > 1]
    folders = [
        out / file_name(i, str(getattr(row, "id", i))).removesuffix(".png")
        for i, row in enumerate(rows)
    ]
    files = [f"{number:02d}-{name}.png" for number, name in enumerate(names)]
    written = [folder / file for folder in folders for file in files]
    _remove_earlier_maps(out, written)
    with (
        Progress("feature maps", len(images) * len(names), "figures") as progress,
        torch.no_grad(),
        outputs_of(explainer.network, names) as held,
    ):
        for i, row in enumerate(rows):
            explainer.network(explainer.inputs(images[i : i + 1]))
            for number, name in enumerate(names):
                values = held[name][0].cpu().double().numpy()
                channels, height, width = values.shape
                said = f"{name}: {channels} channels of {height}×{width}"
                tiles_png(folders[i] / files[number], values, title=caption(row), said=said)
                progress.advance()
    return written


def _remove_earlier_maps(out: Path, kept: Sequence[Path]) -> None:
    for folder in out.glob("[0-9]*-*"):
        if re.fullmatch(r"\d{3,}-.*", folder.name) and (pictures := [*folder.glob("*.png")]):
            remove_earlier(pictures, r"\d{2,}-.*", kept)
            if not any(folder.iterdir()):
                folder.rmdir()
