"""An exploration as a page: numbers made readable, figures drawn, patches fetched."""

from __future__ import annotations

from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image

from sentinode.explore.facts import (
    KINDS,
    Copies,
    Counted,
    Exploration,
    Labels,
    Shown,
    SlideRow,
    StainRow,
    Statistic,
)
from sentinode.explore.figures import (
    angles_figure,
    centre_figure,
    class_figure,
    difference_figure,
    intensity_figure,
    patch_figure,
    slides_figure,
    stain_figure,
)
from sentinode.explore.pixels import CENTRE, CHANNELS, Pixels
from sentinode.plots import patch_uris, render
from sentinode.stain import BACKGROUND, to_rgb
from sentinode.tables import PackedSet
from sentinode.types import UInt8Array

__all__ = ["explore_page"]

GRAYS = 4
SLIDES_OPEN = 20
SLIDES_LISTED = 500
REASONS_LISTED = 30
STAINS_LISTED = 20
NAMES = {
    "id": "unique name of the patch",
    "path": "file below the source's root",
    "label": "1 tumour, 0 normal; none in a test part",
    "slide": "none where the source does not say",
    "patient": "none where the source does not say",
    "centre": "hospital; none where the source does not say",
    "x": "place on the slide in px; none where the source does not say",
    "y": "place on the slide in px; none where the source does not say",
    "source_fold": "none where the source has no folds",
    "problem": "none is good: packing could use the patch",
    "group": "none is good: the patch has no copy",
    "remarks": "none is good: no rule of the audit met it",
    "excluded": "none is good: the audit keeps it",
}


def explore_page(facts: Exploration, pixels: Pixels, packed: PackedSet) -> str:
    """Return an exploration as one self-contained HTML page.

    Args:
        facts: All figures.
        pixels: The arrays behind the mean patches.
        packed: The set, for the pictures.
    """
    pictures = _pictures(facts, packed)
    large = _large(facts)
    return render(
        "explore.html",
        facts=facts,
        centre=CENTRE,
        background=BACKGROUND,
        side=facts.size,
        inset=f"{max(0.0, 50 * (1 - CENTRE / facts.size)):.3f}" if facts.size > CENTRE else "",
        pictures=pictures,
        headline=_headline(facts),
        cards=_cards(facts),
        labels=[_label_row(row) for row in facts.labels],
        samples=[s for s in facts.strips if s.name.startswith("sample")],
        limits=[s for s in facts.strips if s.name.startswith("near-")],
        extremes=[s for s in facts.strips if not s.name.startswith(("sample", "near-"))],
        large=large,
        large_figures=_large_figures(packed.images[large.row], facts.size),
        grays=_grays(facts, packed, pictures),
        statistics=[_statistic(s) for s in facts.statistics],
        intensity=[Markup(intensity_figure(c, facts.intensities)) for c in CHANNELS],
        density=Markup(class_figure("density", facts.densities, "Optical density", pixels=True)),
        means=_means(facts, pixels),
        difference=_difference(pixels),
        slide_rows=[_slide_row(row) for row in facts.slides.rows[:SLIDES_LISTED]],
        slides_open=SLIDES_OPEN,
        slides_figure=Markup(slides_figure(facts.slides)) if facts.slides.count else "",
        stains=_stains(facts),
        copies=_copies(facts.copies),
        reasons=[
            ("Put aside by packing", "Example", _reasons(facts.problems)),
            ("Remarks of the audit", "Such as", _reasons(facts.remarks)),
            ("Left out by the audit", "Such as", _reasons(facts.excluded)),
        ],
        columns=[_column(c.name, c.missing, c.distinct, facts.patches) for c in facts.columns],
        made=_made(facts),
    )


def _pictures(facts: Exploration, packed: PackedSet) -> dict[int, str]:
    """Return a picture of every patch that the page shows, by row."""
    strips = [patch for strip in facts.strips for patch in strip.patches]
    copies = [patch for group in facts.copies.shown for patch in group.patches]
    rows = sorted({patch.row for patch in (*strips, *copies)})
    return dict(zip(rows, patch_uris(packed.images[row] for row in rows), strict=True))


def _headline(facts: Exploration) -> str:
    whole = facts.labels[0]
    parts = [f"{whole.tumour:,} tumour", f"{whole.normal:,} normal"]
    if whole.unlabelled:
        parts.append(f"{whole.unlabelled:,} unlabelled")
    usable = f"{facts.usable:,} usable" if facts.usable < facts.patches else "all usable"
    return (
        f"{facts.patches:,} patches of {facts.size}×{facts.size} px, {usable}: {', '.join(parts)}"
    )


def _cards(facts: Exploration) -> list[dict[str, str]]:
    copies, slides = facts.copies, facts.slides
    aside = sum(row.patches for row in facts.problems)
    groups = copies.exact_groups if copies.near_groups is None else copies.near_groups
    patches = copies.exact_patches if copies.near_patches is None else copies.near_patches
    labelled = facts.labels[1].normal + facts.labels[1].tumour
    apart = sum(bool(row.outlying) for row in facts.stains.rows)
    cards = [
        ("Rows", f"{facts.patches:,}", f"{facts.unique_ids:,} unique ids"),
        ("Usable", f"{facts.usable:,}", _percent(facts.usable / facts.patches)),
        ("Tumour", _percent(facts.labels[1].tumour_share), f"of {labelled:,} labelled, usable"),
        (
            "Slides",
            f"{slides.count:,}" if slides.count else "–",
            f"{slides.without:,} patches without" if slides.count else "unknown",
        ),
        (
            "Copies",
            f"{patches:,}",
            f"in {groups:,} groups" if copies.audited else f"in {groups:,} groups, equal pixels",
        ),
        ("Put aside", f"{aside:,}", "by packing"),
    ]
    if facts.stains.by == "slide":
        cards.append(("Stain apart", f"{apart:,}", f"of {len(facts.stains.rows):,} slides"))
    return [{"name": name, "value": value, "note": note} for name, value, note in cards]


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _label_row(row: Labels) -> dict[str, Any]:
    counts = {kind: getattr(row, kind) for kind in KINDS}
    return {
        "name": row.name,
        "patches": f"{row.patches:,}",
        "share": _percent(row.tumour_share),
        "cells": [f"{count:,}" for count in counts.values()],
        "bar": [
            (kind, f"{100 * count / row.patches:.2f}") for kind, count in counts.items() if count
        ],
    }


def _large(facts: Exploration) -> Shown:
    """Return the patch to show large: a tumour one where there is one."""
    samples = {s.name.removeprefix("sample, "): s.patches for s in facts.strips}
    for kind in ("tumour", "normal", "unlabelled"):
        if kind in samples:
            return samples[kind][len(samples[kind]) // 2]
    raise AssertionError("an exploration has a usable patch")  # explore() refuses a set without


def _large_figures(patch: UInt8Array, side: int) -> list[Markup]:
    whole = Markup(patch_figure(np.asarray(patch)))
    return [whole, Markup(centre_figure(np.asarray(patch)))] if side > CENTRE else [whole]


def _grays(facts: Exploration, packed: PackedSet, pictures: dict[int, str]) -> list[dict[str, Any]]:
    chosen = [p for s in facts.strips if s.name.startswith("sample") for p in s.patches[:GRAYS]]
    grays = patch_uris(_gray(packed.images[patch.row]) for patch in chosen)
    return [
        {"patch": patch, "colour": pictures[patch.row], "gray": gray}
        for patch, gray in zip(chosen, grays, strict=True)
    ]


def _gray(patch: UInt8Array) -> UInt8Array:
    return np.asarray(Image.fromarray(patch).convert("L"))


def _statistic(statistic: Statistic) -> dict[str, Any]:
    digits = 3 if statistic.name == "saturation" else 1
    return {
        "name": statistic.name.capitalize(),
        "said": statistic.said,
        "figure": Markup(
            class_figure(statistic.name, statistic.histogram, statistic.name.capitalize())
        ),
        "separation": "–" if statistic.separation is None else f"{statistic.separation:.3f}",
        "rows": [
            {
                "kind": spread.kind,
                "cells": [
                    f"{spread.patches:,}",
                    f"{spread.mean:.{digits}f}",
                    f"{spread.median:.{digits}f}",
                    f"{spread.quartile_low:.{digits}f} to {spread.quartile_high:.{digits}f}",
                ],
            }
            for spread in statistic.spreads
        ],
    }


def _means(facts: Exploration, pixels: Pixels) -> list[dict[str, str]]:
    found = facts.mean_patches
    arrays = [pixels.means[KINDS.index(row.kind)].round().astype(np.uint8) for row in found]
    return [
        {
            "kind": row.kind,
            "uri": uri,
            "said": f"{row.patches:,} patches; luma {row.centre:.1f} in the centre"
            + ("" if row.rim is None else f", {row.rim:.1f} around it"),
        }
        for row, uri in zip(found, patch_uris(arrays), strict=True)
    ]


def _difference(pixels: Pixels) -> Markup | str:
    normal, tumour = pixels.means[0], pixels.means[1]
    if np.isnan(normal).any() or np.isnan(tumour).any():
        return ""
    return Markup(difference_figure(normal, tumour))


def _slide_row(row: SlideRow) -> dict[str, Any]:
    cells = [row.patches, row.tumour, row.normal, row.unlabelled]
    return {"name": row.name, "cells": [*(f"{c:,}" for c in cells), _percent(row.tumour_share)]}


def _stains(facts: Exploration) -> dict[str, Any]:
    stains = facts.stains
    looked_at = facts.slides.count - stains.left if stains.by == "slide" else len(stains.rows)
    known = [row for row in stains.rows if row.haematoxylin is not None]
    told = stains.limits is not None
    apart = [row for row in stains.rows if row.outlying]
    furthest = sorted(
        known, key=lambda row: -max(row.haematoxylin_angle or 0.0, row.eosin_angle or 0.0)
    )
    medians = [(n, getattr(stains, n)) for n in ("haematoxylin", "eosin")] if told else []
    return {
        "known": len(known),
        "told": told,
        "without": looked_at - len(known),
        "figures": [
            *([Markup(stain_figure(stains))] if known else []),
            *([Markup(angles_figure(stains))] if told else []),
        ],
        "medians": [(name, _said(vector), _hex(vector)) for name, vector in medians],
        "limits": [] if stains.limits is None else [f"{limit:.1f}°" for limit in stains.limits],
        "apart": [row.name for row in apart],
        "rows": [_stain_row(row) for row in furthest[: max(STAINS_LISTED, len(apart))]],
    }


def _stain_row(row: StainRow) -> dict[str, Any]:
    def angle(value: float | None) -> str:
        return "–" if value is None else f"{value:.1f}°"

    return {
        "name": row.name,
        "patches": f"{row.patches:,}",
        "stains": [
            (_said(vector), _hex(vector), angle(degrees))
            for vector, degrees in (
                (row.haematoxylin, row.haematoxylin_angle),
                (row.eosin, row.eosin_angle),
            )
        ],
        "outlying": " and ".join(row.outlying),
    }


def _said(vector: tuple[float, float, float] | None) -> str:
    return "–" if vector is None else ", ".join(f"{v:.2f}" for v in vector).replace("-", "−")


def _hex(vector: tuple[float, float, float] | None) -> str:
    """Return the colour that one unit of a stain leaves of white light."""
    if vector is None:
        return "#fff"
    return "#" + bytes(to_rgb(np.array(vector)).tolist()).hex()


def _copies(copies: Copies) -> dict[str, Any]:
    lines = [_copy_line("equal pixels", copies.exact_groups, copies.exact_patches,
                        copies.exact_two_labels)]  # fmt: skip
    if copies.near_groups is not None:
        lines.append(
            _copy_line(
                "the same tissue, equal, turned, flipped or compressed otherwise",
                copies.near_groups,
                copies.near_patches or 0,
                copies.near_two_labels or 0,
            )
        )
    return {
        "lines": lines,
        "groups": [
            {
                "title": f"{group.size:,} patches with {group.kind}"
                if group.kind == "equal pixels"
                else f"{group.size:,} patches of {group.kind}",
                "part": f", {len(group.patches)} are shown"
                if len(group.patches) < group.size
                else "",
                "two_labels": group.two_labels,
                "strip": group,
            }
            for group in copies.shown
        ],
    }


def _copy_line(kind: str, groups: int, patches: int, two: int) -> dict[str, str]:
    return {
        "kind": kind,
        "groups": f"{groups:,}",
        "patches": f"{patches:,}",
        "further": f"{patches - groups:,}",
        "two": f"{two:,}",
    }


def _reasons(rows: tuple[Counted, ...]) -> list[Counted]:
    return list(rows[:REASONS_LISTED])


def _column(name: str, missing: int, distinct: int, patches: int) -> dict[str, str]:
    return {
        "name": name,
        "missing": f"{missing:,}",
        "share": _percent(missing / patches),
        "distinct": f"{distinct:,}",
        "note": NAMES.get(name, ""),
    }


def _made(facts: Exploration) -> list[tuple[str, str]]:
    made = facts.provenance
    versions = {"sentinode": made.sentinode, "python": made.python, **made.packages}
    return [
        ("Versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
        ("Machine", " · ".join(part for part in (made.platform, made.processor) if part)),
        ("Seed", str(made.seeds["explore"])),
        ("Settings", ", ".join(f"{name} = {value}" for name, value in made.config.items())),
        *((f"SHA-256 of {role}", digest) for role, digest in made.inputs.items()),
    ]
