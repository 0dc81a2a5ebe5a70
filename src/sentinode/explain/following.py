"""The same patches through several runs: patches x runs with probability and map."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from sentinode.config import Config
from sentinode.core import (
    atomic_path,
    folder_lock,
    folder_names,
    provenance,
    write_json,
    write_text,
)
from sentinode.errors import InputError
from sentinode.explain.choosing import PICKS, Pick
from sentinode.explain.explaining import How, chosen_patches, described, said_of
from sentinode.explain.methods import Explainer
from sentinode.explain.patches import Patches
from sentinode.models import Run, choose_compute, deterministic
from sentinode.plots import LEGEND, coloured, legend_uri, patch_uris, png_uri, render
from sentinode.types import RESEARCH_USE_ONLY, Fold, UInt8Array

__all__ = ["EXAMPLES_PAGE", "follow"]

EXAMPLES_PAGE = "examples.html"


def follow(
    runs: Sequence[Run],
    path: Path,
    config: Config,
    out: Path,
    how: How,
    *,
    picks: Sequence[Pick] = PICKS,
    count: int = 4,
    examples: str | None = None,
    folds: Sequence[Fold] | None = None,
) -> pd.DataFrame:
    """Follow patches through runs and write ``examples.html``, ``.csv`` and ``.json``.

    Picked are patches by what the first run said of them.

    Args:
        runs: The networks.
        path: A packed set, a folder of images, or one image.
        config: Its section ``predict`` is used.
        out: The folder.
        how: Method and look of the maps; a layer that is named has to be in every network.
        picks: As of :func:`sentinode.explain.explain`.
        count: Patches of each pick.
        examples: A list to take instead.
        folds: Folds to pick from.

    Returns:
        Columns id, run, label, probability, predicted, outcome, one row for each patch and run.

    Raises:
        InputError: A run is given twice, and as of what it calls.
    """
    how.check()
    names = folder_names([run.folder for run in runs])
    compute = choose_compute(config.predict.device, "float32")
    with folder_lock(out), ExitStack() as stack, deterministic(compute):
        given = [Patches.of(run, path, config, stack, folds=folds) for run in runs]
        rows, _, chosen = chosen_patches(given[0], picks, count, examples, how.threshold)
        ids = given[0].table["id"].iloc[rows]
        images = given[0].read(rows)
        parts, pictures, said = [], {}, {}
        for name, run, patches in zip(names, runs, given, strict=True):
            explainer = Explainer.of(
                run.load(),
                run.spec,
                compute,
                how.method,
                layer=how.layer,
                direction=how.direction,
                baseline=how.baseline,
            )
            parts.append(_said(name, run, patches, ids, how.threshold))
            maps = explainer.maps(images)
            pictures[name] = [png_uri(coloured(m, how.percentile)) for m in maps]
            said[name] = said_of(explainer, how)
        table = pd.concat(parts, ignore_index=True)
        with atomic_path(out / "examples.csv") as temporary:
            table.to_csv(temporary, index=False, lineterminator="\n", float_format="%.5f")
        inputs = {name: run.weights_hash for name, run in zip(names, runs, strict=True)}
        write_json(out / "examples.json", _note(inputs, how, chosen, said, table))
        write_text(out / EXAMPLES_PAGE, _page(table, images, pictures, how, chosen, said))
        return table


def _said(
    name: str, run: Run, patches: Patches, ids: pd.Series[str], threshold: float
) -> pd.DataFrame:
    found = patches.table.set_index("id").reindex(ids).reset_index()
    if found["probability"].isna().any():
        missing = found["id"][found["probability"].isna()].iloc[0]
        raise InputError(f"{run.folder} has no prediction of {missing!r}; its folds differ")
    made = described(found, ["followed"] * len(found), threshold).assign(run=name)
    return made[["id", "run", "label", "probability", "predicted", "outcome"]]


def _note(
    inputs: dict[str, str], how: How, chosen: str, said: dict[str, str], table: pd.DataFrame
) -> dict[str, Any]:
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    for row in rows:
        row["probability"] = round(float(row["probability"]), 6)
        row["label"] = None if row["label"] is None else int(row["label"])
    made = provenance("examples", config=asdict(how), inputs=inputs)
    return {
        "notice": RESEARCH_USE_ONLY,
        "patches": chosen,
        "maps": said,
        "rows": rows,
        "provenance": made.model_dump(mode="json"),
    }


def _page(
    table: pd.DataFrame,
    images: UInt8Array,
    pictures: dict[str, list[str]],
    how: How,
    chosen: str,
    said: dict[str, str],
) -> str:
    uris = patch_uris(images)
    lines = []
    for i, (name, part) in enumerate(table.groupby("id", sort=False)):
        label = part["label"].iloc[0]
        cells = [
            {
                "map": pictures[str(row.run)][i],
                "probability": f"{row.probability:.3f}",
                "predicted": row.predicted,
                "outcome": row.outcome,
            }
            for row in part.itertuples(index=False)
        ]
        truth = "unlabelled" if pd.isna(label) else ("normal", "tumour")[int(label)]
        lines.append({"id": name, "truth": truth, "uri": uris[i], "cells": cells})
    return render(
        "examples.html",
        runs=list(pictures),
        said=said,
        chosen=chosen,
        legend=LEGEND,
        legend_uri=legend_uri(),
        opacity=how.opacity,
        percentile=f"{how.percentile:g}",
        threshold=f"{how.threshold:g}",
        inset=f"{max(0.0, 50 * (1 - 32 / images.shape[1])):.3f}",
        lines=lines,
    )
