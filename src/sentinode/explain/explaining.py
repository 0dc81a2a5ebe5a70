"""One run, some patches, a map of each: pictures, a table and a page."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import pandas as pd

from sentinode.config import Config
from sentinode.core import Progress, atomic_path, folder_lock, provenance, write_json, write_text
from sentinode.errors import InputError
from sentinode.explain.choosing import PICKS, Pick, pick_rows, read_list, rows_of_list
from sentinode.explain.methods import AT_ONCE, Baseline, Direction, Explainer, Method
from sentinode.explain.page import explain_page
from sentinode.explain.patches import Patches
from sentinode.metrics import (
    FloatArray,
    border_frame,
    centre_square,
    effective_area,
    positive_share,
)
from sentinode.models import Run, choose_compute, deterministic
from sentinode.plots import panels_png
from sentinode.types import RESEARCH_USE_ONLY, Fold, UInt8Array

__all__ = [
    "PAGE",
    "Explained",
    "How",
    "caption",
    "chosen_patches",
    "described",
    "explain",
    "file_name",
    "outcome",
    "remove_earlier",
    "said_of",
]

PAGE, TABLE, NOTE, PANELS = "explain.html", "explained.csv", "explain.json", "panels"
CLUSTERED = 5000
PICKED_AS: dict[Pick, str] = {
    "certain": "most certain",
    "uncertain": "least certain",
    "wrong": "wrong",
    "diverse": "unlike each other",
}


@final
@dataclass(frozen=True)
class How:
    """How maps are made and drawn.

    Attributes:
        method: Of attribution.
        layer: To draw from; None takes the one that suits.
        direction: Whose evidence is red.
        baseline: What "nothing" looks like.
        opacity: Of the overlay, 0..1.
        percentile: Of a map's positive values, drawn reddest.
        threshold: A patch at or above it is called tumour.
    """

    method: Method = "gradcam"
    layer: str | None = None
    direction: Direction = "tumour"
    baseline: Baseline = "mean"
    opacity: float = 0.45
    percentile: float = 99.0
    threshold: float = 0.5

    def check(self) -> None:
        """Refuse numbers out of range.

        Raises:
            InputError: One is.
        """
        for name, value, top in (
            ("opacity", self.opacity, 1.0),
            ("percentile", self.percentile, 100.0),
            ("threshold", self.threshold, 1.0),
        ):
            if not 0 < value <= top:
                raise InputError(f"{name} lies above 0 and at most at {top:g}, got {value:g}")


@final
@dataclass(frozen=True)
class Explained:
    """Patches with their maps.

    Attributes:
        table: id, slide, label, probability, predicted, confidence, outcome, picked, and shares of
            the map: centre, border, area.
        images: uint8 (N, H, W, 3).
        maps: float64 (N, H, W).
        said: Method, layer, direction and scale in words.
        chosen: How the patches were chosen, in words.
        how: The settings.
        model: Name of the network.
        note: What made it, as JSON values.
    """

    table: pd.DataFrame
    images: UInt8Array
    maps: FloatArray
    said: str
    chosen: str
    how: How
    model: str
    note: dict[str, Any]


def explain(
    run: Run,
    path: Path,
    config: Config,
    out: Path,
    how: How,
    *,
    picks: Sequence[Pick] = PICKS,
    count: int = 12,
    examples: str | None = None,
    folds: Sequence[Fold] | None = None,
    predictions: Path | None = None,
) -> Explained:
    """Draw maps of chosen patches and write them to a folder.

    Written are ``explain.html``, one page with every patch; ``panels/`` with a PNG a patch;
    ``explained.csv``; ``maps.npy``, float32 (N, H, W) in the order of the table; and
    ``explain.json`` with what made them.

    Args:
        run: The network.
        path: A packed set, a folder of images, or one image.
        config: Its section ``predict`` is used.
        out: The folder.
        how: Method and look of the maps.
        picks: By what patches are picked.
        count: Patches of each pick.
        examples: A list to take instead; see :func:`~sentinode.explain.choosing.read_list`.
        folds: Folds to pick from, by default all but ``train``.
        predictions: What the run predicted for these patches, to save the time.

    Raises:
        InputError: A setting out of range, no layer to draw from, patches of another size, and as
            of what it calls.
    """
    how.check()
    compute = choose_compute(config.predict.device, "float32")
    with folder_lock(out), ExitStack() as stack, deterministic(compute):
        explainer = Explainer.of(
            run.load(),
            run.spec,
            compute,
            how.method,
            layer=how.layer,
            direction=how.direction,
            baseline=how.baseline,
        )
        patches = Patches.of(run, path, config, stack, folds=folds, predictions=predictions)
        rows, picked, chosen = chosen_patches(patches, picks, count, examples, how.threshold)
        images = patches.read(rows)
        maps = _drawn(explainer, images)
        table = described(patches.table.iloc[rows], picked, how.threshold)
        table = table.assign(**_shares(maps))
        note = _note(run, patches, how, config)
        said = said_of(explainer, how)
        explained = Explained(table, images, maps, said, chosen, how, run.spec.name, note)
        _write(out, explained)
        return explained


def chosen_patches(
    patches: Patches,
    picks: Sequence[Pick],
    count: int,
    examples: str | None,
    threshold: float,
) -> tuple[list[int], list[str], str]:
    """Choose patches: rows, by what each was picked, and how it is said.

    Raises:
        InputError: No patch is wrong and nothing else was asked for; or as of `read_list`.
    """
    spread = np.unique(np.linspace(0, len(patches.table) - 1, CLUSTERED).round().astype(int))
    if examples is not None:
        listed = read_list(examples)
        named = np.flatnonzero(patches.table["id"].isin(listed["id"]))
        looked = np.union1d(spread, named)
        found, said = rows_of_list(
            listed, patches.table.iloc[looked].reset_index(drop=True), patches.read(looked)
        )
        rows = [int(looked[row]) for row in found]
        return rows, ["list"] * len(rows), said
    why: dict[int, list[str]] = {}
    for pick in picks:
        if pick == "diverse":
            found = pick_rows(
                pick, patches.table.iloc[spread], patches.read(spread), count, threshold
            )
            found = [int(spread[row]) for row in found]
        else:
            found = pick_rows(pick, patches.table, np.empty(0, np.uint8), count, threshold)
        for row in found:
            why.setdefault(row, []).append(pick)
    if not why:
        raise InputError("no patch was picked: none is wrong; add another --pick, as certain")
    said = f"up to {count} each: {', '.join(PICKED_AS[pick] for pick in picks)}"
    return list(why), [", ".join(names) for names in why.values()], said


def outcome(label: Any, called: bool) -> str:
    """Return hit, miss, false alarm, correct rejection, or unlabelled."""
    if pd.isna(label):
        return "unlabelled"
    if label == 1:
        return "hit" if called else "miss"
    return "false alarm" if called else "correct rejection"


def said_of(explainer: Explainer, how: How) -> str:
    """Return method, layer, direction and scale in words."""
    where = f" at {explainer.layer.said}" if explainer.layer is not None else ""
    against = (
        f", against the patch's {how.baseline}" if how.baseline != "white" else ", against white"
    )
    nothing = "" if explainer.layer is not None else against
    return f"{how.method}{where}{nothing}; evidence for {how.direction}"


def file_name(number: int, patch_id: str) -> str:
    """Return a file name for a patch, its id without what file systems refuse."""
    return f"{number:03d}-{re.sub(r'[^A-Za-z0-9._-]+', '-', patch_id).strip('-.')[-80:]}.png"


def remove_earlier(found: Iterable[Path], own: str, kept: Collection[Path]) -> None:
    """Remove pictures that an earlier run left in the same folder.

    Args:
        found: What lies there.
        own: Pattern of the names that are ours; nothing else is touched.
        kept: What is to be written again.
    """
    for path in sorted(found):
        if re.fullmatch(own, path.name) and path not in kept:
            path.unlink()


def _drawn(explainer: Explainer, images: UInt8Array) -> FloatArray:
    parts = []
    with Progress("explain", len(images)) as progress:
        for start in range(0, len(images), AT_ONCE):
            parts.append(explainer.maps(images[start : start + AT_ONCE]))
            progress.advance(len(parts[-1]))
    return np.concatenate(parts)


def described(table: pd.DataFrame, picked: list[str], threshold: float) -> pd.DataFrame:
    """Return id, slide, label, probability, predicted, confidence, outcome, picked of patches."""
    p = table["probability"].to_numpy(float)
    called = p >= threshold
    made = table[["id", "slide", "label", "probability"]].reset_index(drop=True)
    made["predicted"] = np.where(called, "tumour", "normal")
    made["confidence"] = np.where(called, p, 1 - p)
    made["outcome"] = [outcome(v, c) for v, c in zip(made["label"], called, strict=True)]
    made["picked"] = picked
    return made


def _shares(maps: FloatArray) -> dict[str, Any]:
    side = maps.shape[1]
    return {
        "centre": positive_share(maps, centre_square(side)) if side >= 32 else np.nan,
        "border": positive_share(maps, border_frame(side)),
        "area": effective_area(maps),
    }


def _note(run: Run, patches: Patches, how: How, config: Config) -> dict[str, Any]:
    made = provenance(
        "explain",
        config=asdict(how) | {"predict": config.predict.fingerprint()},
        inputs={"weights": run.weights_hash} | patches.note.get("provenance", {}).get("inputs", {}),
    )
    return {
        "notice": RESEARCH_USE_ONLY,
        "model": run.spec.name,
        "weights_sha256": run.weights_hash,
        "provenance": made.model_dump(mode="json"),
    }


def _write(out: Path, explained: Explained) -> None:
    table = explained.table
    panels = [out / PANELS / file_name(i, str(name)) for i, name in enumerate(table["id"])]
    remove_earlier((out / PANELS).glob("*.png"), r"\d{3,}-.*", panels)
    for i, row in enumerate(table.itertuples(index=False)):
        panels_png(
            panels[i],
            [(caption(row), explained.images[i], explained.maps[i])],
            title=f"{explained.model}: {explained.how.method}, for {explained.how.direction}",
            opacity=explained.how.opacity,
            percentile=explained.how.percentile,
        )
    with atomic_path(out / "maps.npy") as temporary:
        np.save(temporary, explained.maps.astype(np.float32))
    with atomic_path(out / TABLE) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n", float_format="%.5f")
    write_json(out / NOTE, explained.note | {"maps": explained.said, "patches": explained.chosen})
    write_text(out / PAGE, explain_page(explained))


def caption(row: Any) -> str:
    """Return a patch's id, truth, prediction and confidence in one line."""
    truth = "unlabelled" if pd.isna(row.label) else ("normal", "tumour")[int(row.label)]
    return f"{row.id}: {truth}; predicted {row.predicted}, confidence {row.confidence:.3f}"
