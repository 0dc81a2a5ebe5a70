"""The page of a run: patches with their maps, filters, and room for an expert's verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from sentinode.plots import LEGEND, coloured, legend_uri, patch_uris, png_uri, render

if TYPE_CHECKING:
    from sentinode.explain.explaining import Explained

__all__ = ["OUTCOMES", "VERDICTS", "explain_page"]

OUTCOMES = ("hit", "miss", "false alarm", "correct rejection", "unlabelled")
VERDICTS = ("label is right", "wrong label", "unusable", "unsure")


def explain_page(explained: Explained) -> str:
    """Return the page, one self-contained HTML file.

    Without a script it shows everything; with one, patches are filtered, the overlay's opacity is
    changed, and verdicts are noted and saved as CSV (id, verdict, map, note).
    """
    how, table = explained.how, explained.table
    slides = sorted(table["slide"].dropna().unique())
    return render(
        "explain.html",
        title=f"What {explained.model} looked at",
        model=explained.model,
        said=explained.said,
        chosen=explained.chosen,
        legend=LEGEND,
        legend_uri=legend_uri(),
        opacity=how.opacity,
        percentile=f"{how.percentile:g}",
        threshold=f"{how.threshold:g}",
        direction=how.direction,
        outcomes=[o for o in OUTCOMES if (table["outcome"] == o).any()],
        picks=sorted({p for picked in table["picked"] for p in picked.split(", ")}),
        slides=slides,
        verdicts=VERDICTS,
        patches=_patches(explained),
        counts={o: int((table["outcome"] == o).sum()) for o in OUTCOMES},
        weights=explained.note["weights_sha256"],
        made=_made(explained.note),
    )


def _patches(explained: Explained) -> list[dict[str, Any]]:
    uris = patch_uris(explained.images)
    cards = []
    side = explained.images.shape[1]
    rows: list[Any] = list(explained.table.itertuples(index=False))
    for i, row in enumerate(rows):
        label = row.label
        cards.append(
            {
                "id": row.id,
                "slide": "" if pd.isna(row.slide) else row.slide,
                "truth": "unlabelled" if pd.isna(label) else ("normal", "tumour")[int(label)],
                "predicted": row.predicted,
                "probability": f"{row.probability:.3f}",
                "confidence": f"{row.confidence:.3f}",
                "outcome": row.outcome,
                "picked": row.picked,
                "attribution": _attribution(row.centre, row.border, explained, i),
                "uri": uris[i],
                "map": png_uri(coloured(explained.maps[i], explained.how.percentile)),
                "inset": f"{max(0.0, 50 * (1 - 32 / side)):.3f}",
            }
        )
    return cards


def _attribution(centre: float, border: float, explained: Explained, i: int) -> str:
    """Say where a patch's map lies, and why one has nothing on it."""
    if not (explained.maps[i] > 0).any():
        return f"no evidence for {explained.how.direction} anywhere: an empty map"
    shares = {"centre": centre, "border": border}
    known = [f"{name} {share:.0%}" for name, share in shares.items() if not pd.isna(share)]
    return "attribution: " + ", ".join(known) if known else ""


def _made(note: dict[str, Any]) -> list[tuple[str, str]]:
    made = note["provenance"]
    rows = [("sentinode", made["sentinode"])]
    rows += [(name, version) for name, version in made["packages"].items()]
    rows += [(f"SHA-256 of {role}", digest) for role, digest in made["inputs"].items()]
    return rows
