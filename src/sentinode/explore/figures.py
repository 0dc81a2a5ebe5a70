"""The figures of an exploration, each from a part of it and nothing else."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from sentinode.explore.facts import Histogram, Slides, Stains
from sentinode.explore.pixels import CENTRE, LUMA
from sentinode.explore.stains import chromaticity
from sentinode.plots.palette import GREY, INK, NORMAL, TUMOUR
from sentinode.plots.svg import blank, inline_svg, styled
from sentinode.types import UInt8Array

__all__ = [
    "angles_figure",
    "centre_figure",
    "class_figure",
    "difference_figure",
    "intensity_figure",
    "patch_figure",
    "slides_figure",
    "stain_figure",
]

UNLABELLED = GREY
COLOURS = {"normal": NORMAL, "tumour": TUMOUR, "unlabelled": UNLABELLED}
STYLES = {"normal": "-", "tumour": "-", "unlabelled": (0, (4, 2))}
NAMED = 8
BARS = 120


@styled
def class_figure(name: str, histogram: Histogram, label: str, *, pixels: bool = False) -> str:
    """Return one histogram by class, each class summing to 1, as SVG.

    Args:
        name: Unique on the page.
        histogram: Counts by class.
        label: What to write at its axis.
        pixels: Whether pixels are counted and not patches.
    """
    figure, axes = blank(4.0, 3.0)
    for kind, counts in histogram.counts.items():
        _stairs(axes, np.array(counts), histogram.edges, kind, pixels)
    figure.legend(loc="outside upper center", ncols=3)
    low, high = _filled(histogram)
    axes.set(xlim=(low, high), ylim=(0, None), xlabel=label, ylabel="Share of the class")
    classes = " and ".join(histogram.counts)
    return inline_svg(figure, name, f"Histogram of {label.lower()} of {classes}")


def _stairs(
    axes: Axes, counts: NDArray[np.int64], edges: tuple[float, ...], kind: str, pixels: bool
) -> None:
    shares = counts / counts.sum()
    said = kind if pixels else f"{kind} ({counts.sum():,})"
    axes.stairs(shares, edges, color=COLOURS[kind], fill=True, alpha=0.2)
    axes.stairs(
        shares, edges, color=COLOURS[kind], linewidth=1.5, linestyle=STYLES[kind], label=said
    )


def _filled(histogram: Histogram) -> tuple[float, float]:
    """Return the edges between which there are counts."""
    total = np.sum(list(histogram.counts.values()), axis=0)
    places = np.flatnonzero(total)
    return histogram.edges[places[0]], histogram.edges[places[-1] + 1]


@styled
def intensity_figure(channel: str, histogram: Histogram) -> str:
    """Return the pixel values of one channel by class, as SVG; 0 and 255 are cut where they tower.

    Args:
        channel: red, green or blue.
        histogram: Counts by "channel, class".
    """
    figure, axes = blank(4.0, 3.0)
    inner = 0.0
    for kind, colour in COLOURS.items():
        counts = np.array(histogram.counts.get(f"{channel}, {kind}", ()))
        if not len(counts):
            continue
        shares = counts / counts.sum()
        inner = max(inner, float(shares[1:-1].max()))
        axes.stairs(
            shares, histogram.edges, color=colour, linewidth=1.3, linestyle=STYLES[kind], label=kind
        )
    figure.legend(loc="outside upper center", ncols=3)
    axes.set(xlim=(0, 256), xlabel=f"{channel.capitalize()}, 0 to 255", ylabel="Share of pixels")
    axes.set_ylim(0, 1.1 * inner if inner else 1)
    axes.set_xticks([0, 64, 128, 192, 255])
    return inline_svg(figure, f"intensity-{channel}", f"Histogram of {channel} by class")


@styled
def patch_figure(patch: UInt8Array) -> str:
    """Return a patch large, with a grid every 8 px and its centre square, as SVG.

    Args:
        patch: uint8 (H, W, 3).
    """
    side = len(patch)
    figure, axes = blank(5.0, 5.0)
    _picture(axes, patch, 8 if side <= 128 else side // 12)
    if side >= CENTRE:
        low = (side - CENTRE) / 2
        for colour, width in ((INK, 3.2), ("white", 1.6)):
            axes.add_patch(
                Rectangle((low, low), CENTRE, CENTRE, fill=False, edgecolor=colour, linewidth=width)
            )
    return inline_svg(figure, "patch", f"A patch of {side} px with its centre square")


@styled
def centre_figure(patch: UInt8Array) -> str:
    """Return the centre of a patch with a line between all pixels, as SVG."""
    side = len(patch)
    low = max(0, (side - CENTRE) // 2)
    centre = patch[low : low + CENTRE, low : low + CENTRE]
    figure, axes = blank(5.0, 5.0)
    _picture(axes, centre, 1, low)
    return inline_svg(figure, "centre", f"The centre of the patch, {len(centre)} px")


def _picture(axes: Axes, patch: UInt8Array, step: int, first: int = 0) -> None:
    side = len(patch)
    end = first + side
    axes.imshow(patch, interpolation="none", extent=(first, end, end, first))
    lines = np.arange(first, end + 1, step)
    axes.vlines(lines, first, end, color="white", linewidth=0.6, alpha=0.7)
    axes.hlines(lines, first, end, color="white", linewidth=0.6, alpha=0.7)
    ticks = np.arange(first, end + 1, 2 ** max(0, round(np.log2(side / 7))))
    axes.set(xlim=(first, end), ylim=(end, first), xlabel="x in px", ylabel="y in px")
    axes.set_xticks(ticks)
    axes.set_yticks(ticks)
    axes.grid(visible=False)


@styled
def difference_figure(normal: NDArray[np.float64], tumour: NDArray[np.float64]) -> str:
    """Return where the mean patches differ more or less than on average, in luma, as SVG.

    The average is taken off since it would drown what the centre square leaves.

    Args:
        normal: Mean patch, float64 (H, W, 3), 0..255.
        tumour: Likewise.
    """
    difference = (tumour - normal) @ LUMA
    average = float(difference.mean())
    difference = difference - average
    side = len(difference)
    most = max(float(np.abs(difference).max()), 1e-6)
    figure, axes = blank(4.4, 3.6)
    shown = axes.imshow(
        difference,
        cmap="PuOr",
        vmin=-most,
        vmax=most,
        interpolation="none",
        extent=(0, side, side, 0),
    )
    figure.colorbar(
        shown, ax=axes, label=f"Luma, mean difference {average:.1f} taken off".replace("-", "−")
    )
    if side >= CENTRE:
        low = (side - CENTRE) / 2
        axes.add_patch(Rectangle((low, low), CENTRE, CENTRE, fill=False, edgecolor=INK))
    axes.grid(visible=False)
    axes.set(xlabel="x in px", ylabel="y in px")
    said = (
        f"Difference of the mean patches, {average:.1f} in luma on average, and "
        f"{difference.min():.1f} to {difference.max():.1f} about that"
    )
    return inline_svg(figure, "difference", said)


@styled
def slides_figure(slides: Slides) -> str:
    """Return patches by slide and class, the largest slide first, as SVG."""
    figure, axes = blank(9.0, 2.9)
    edges = np.arange(len(slides.rows) + 1) + 0.5
    base = np.zeros(len(slides.rows))
    for kind, colour in COLOURS.items():
        counts = np.array([getattr(row, kind) for row in slides.rows])
        if not counts.any():
            continue
        if len(counts) <= BARS:
            axes.bar(edges[:-1] + 0.5, counts, bottom=base, color=colour, label=kind)
        else:  # one outline in place of thousands of bars
            axes.stairs(base + counts, edges, baseline=base, fill=True, color=colour, label=kind)
        base = base + counts
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside upper center", ncols=3)
    axes.set(xlim=(0.5, len(slides.rows) + 0.5), ylim=(0, None))
    axes.set(xlabel="Slides, the largest first", ylabel="Patches")
    return inline_svg(figure, "slides", f"Patches of {len(slides.rows):,} slides by class")


@styled
def stain_figure(stains: Stains) -> str:
    """Return the stain vectors in the plane of hue and saturation of optical density, as SVG."""
    figure, axes = blank(4.6, 3.9)
    for stain, colour, marker in (("haematoxylin", NORMAL, "o"), ("eosin", TUMOUR, "s")):
        known = [row for row in stains.rows if getattr(row, stain) is not None]
        if not known:
            continue
        places = chromaticity(np.array([getattr(row, stain) for row in known]))
        apart = np.array([stain in row.outlying for row in known])
        axes.plot(*places[~apart].T, marker, color=colour, markersize=4, alpha=0.6, label=stain)
        axes.plot(*places[apart].T, marker, color=colour, markersize=6, markeredgecolor=INK)
        median = getattr(stains, stain)
        if median is not None:
            axes.plot(*chromaticity(np.array(median)), "+", color=INK, markersize=11)
    figure.legend(loc="outside upper center", ncols=3)
    axes.set(xlabel="Red against the mean density", ylabel="Green against blue")
    axes.margins(0.12)
    said = f"Stain vectors of {len(stains.rows)} {stains.by}s in the plane of hue and saturation"
    return inline_svg(figure, "stain", said)


@styled
def angles_figure(stains: Stains) -> str:
    """Return the angles of every vector to the median ones, with the limits, as SVG."""
    figure, axes = blank(4.6, 3.9)
    known = [row for row in stains.rows if row.haematoxylin_angle is not None]
    places = np.array([(row.haematoxylin_angle, row.eosin_angle) for row in known], float)
    apart = np.array([bool(row.outlying) for row in known])
    axes.plot(*places[~apart].T, "o", color=GREY, markersize=4, alpha=0.6)
    axes.plot(*places[apart].T, "D", color=TUMOUR, markersize=5, markeredgecolor=INK)
    names = [row.name for row in known if row.outlying]
    _name(axes, places[apart], names, np.ptp(places, axis=0))
    if stains.limits is not None:
        axes.axvline(stains.limits[0], color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        axes.axhline(
            stains.limits[1], color=GREY, linewidth=1, linestyle=(0, (4, 3)), label="limit"
        )
    figure.legend(loc="outside upper center", ncols=3)
    axes.margins(0.12)
    axes.set(
        xlabel="Haematoxylin, degrees from the median", ylabel="Eosin, degrees from the median"
    )
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    said = f"Angles of {len(known)} {stains.by}s to the median stain vectors, {apart.sum()} apart"
    return inline_svg(figure, "angles", said)


def _name(
    axes: Axes, places: NDArray[np.float64], names: list[str], reach: NDArray[np.float64]
) -> None:
    """Write names beside points, without those that would stand on another one."""
    taken: list[NDArray[np.float64]] = []
    for place, name in list(zip(places, names, strict=True))[:NAMED]:
        near = [np.abs(place - other) < reach * (0.3, 0.06) for other in taken]
        # the fonts of the drawing may lack the letters of other scripts
        if any(n.all() for n in near) or not (name.isascii() and name.isprintable()):
            continue
        taken.append(place)
        short = name if len(name) <= 18 else f"{name[:17]}…"
        axes.annotate(
            short, place, xytext=(5, 4), textcoords="offset points", fontsize=8, parse_math=False
        )
