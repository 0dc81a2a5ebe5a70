"""The scores of several networks' maps as JSON, CSV and Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sentinode.core import atomic_path, provenance, write_json, write_text
from sentinode.explain.scoring import SCORES, ScoredRun
from sentinode.types import RESEARCH_USE_ONLY

__all__ = ["markdown", "write_scores"]


def write_scores(
    out: Path, scored: Mapping[str, Sequence[ScoredRun]], settings: dict[str, Any]
) -> None:
    """Write ``map_scores.json``, ``.csv``, ``.md`` and ``map_scores_patches.csv``.

    Args:
        out: The folder.
        scored: By where the patches are from, as in "regions": one for each network.
        settings: What shaped the scores, as JSON values.
    """
    summary = _joined(scored, patches=False)
    for name, table in (
        ("map_scores.csv", summary),
        ("map_scores_patches.csv", _joined(scored, patches=True)),
    ):
        with atomic_path(out / name) as temporary:
            table.to_csv(temporary, index=False, lineterminator="\n", float_format="%.5g")
    weights = {each.name: each.weights for runs in scored.values() for each in runs}
    layers = {each.name: each.layer for runs in scored.values() for each in runs}
    remarks = {place: runs[0].remark for place, runs in scored.items() if runs[0].remark}
    write_json(
        out / "map_scores.json",
        {
            "notice": RESEARCH_USE_ONLY,
            "scores": SCORES,
            "layers": layers,
            "remarks": remarks,
            "rows": [_plain(row) for row in summary.to_dict("records")],
            "provenance": provenance("score-maps", config=settings, inputs=weights).model_dump(
                mode="json"
            ),
        },
    )
    write_text(out / "map_scores.md", markdown(scored))


def markdown(scored: Mapping[str, Sequence[ScoredRun]]) -> str:
    """Return one table for each place the patches are from: scores by network and method."""
    lines = [f"> {RESEARCH_USE_ONLY}", ""]
    for place, runs in scored.items():
        table = _joined({place: runs}, patches=False)
        counts = table.groupby("run")["patches"].max()
        units = table["units"].max()
        lines += [
            f"## Maps of patches from {place}",
            "",
            f"{int(counts.max())} patches with tumour in the centre, {_from(int(units))}.",
            "",
            *([runs[0].remark, ""] if runs[0].remark else []),
        ]
        columns = list(table[["run", "method"]].drop_duplicates().itertuples(index=False))
        columns = [c for i, c in enumerate(columns) if not _seen(c, columns[:i])]
        lines.append("| score | " + " | ".join(_head(c) for c in columns) + " |")
        lines.append("| --- |" + " ---: |" * len(columns))
        for score in [s for s in SCORES if (table["score"] == s).any()]:
            cells = [_cell(table, column, score) for column in columns]
            lines.append(f"| {SCORES[score]} | " + " | ".join(cells) + " |")
        lines.append("")
    layers = {each.name: each.layer for runs in scored.values() for each in runs}
    lines += [f"Grad-CAM and its kin of {name}: {said}." for name, said in layers.items()]
    return "\n".join(lines) + "\n"


def _from(units: int) -> str:
    if units < 2:
        return "from one image, slide or patch: too few for intervals"
    return f"from {units} images, slides or patches that intervals (95 %) resample"


def _seen(column: Any, before: list[Any]) -> bool:
    """Controls are the same for every network."""
    return column.method.startswith("control") and any(c.method == column.method for c in before)


def _head(column: Any) -> str:
    control = column.method.startswith("control")
    return column.method if control else f"{column.run}: {column.method}"


def _cell(table: pd.DataFrame, column: Any, score: str) -> str:
    found = table[
        (table["run"] == column.run)
        & (table["method"] == column.method)
        & (table["score"] == score)
    ]
    if not len(found):
        return ""
    row = found.iloc[0]
    digits = 0 if score.startswith("field") else 2
    if pd.isna(row["low"]):
        return f"{row['value']:.{digits}f}"
    return f"{row['value']:.2f} ({row['low']:.2f} to {row['high']:.2f})"


def _joined(scored: Mapping[str, Sequence[ScoredRun]], *, patches: bool) -> pd.DataFrame:
    parts = [
        (each.patches if patches else each.summary).assign(run=each.name, place=place)
        for place, runs in scored.items()
        for each in runs
    ]
    table = pd.concat(parts, ignore_index=True)
    first = ["run", "place", "method"]
    return table[first + [c for c in table if c not in first]]


def _plain(row: dict[Any, Any]) -> dict[str, Any]:
    kept = {str(k): v for k, v in row.items() if not pd.isna(v)}
    return {k: round(v, 6) if isinstance(v, float) else v for k, v in kept.items()}
