"""Figures and HTML pages, without a request to anywhere."""

from sentinode.plots.figures import (
    histogram_figure,
    pr_figure,
    reliability_figure,
    roc_figure,
    training_figure,
)
from sentinode.plots.images import patch_uris
from sentinode.plots.maps import (
    LEGEND,
    coloured,
    legend_uri,
    mosaic,
    overlaid,
    panels_png,
    png_uri,
    tiles_png,
    top_of,
)
from sentinode.plots.page import render
from sentinode.plots.reliance import coverage_figure, decision_figure
from sentinode.plots.robustness import Panel, Point, robustness_figure, robustness_png

__all__ = [
    "LEGEND",
    "Panel",
    "Point",
    "coloured",
    "coverage_figure",
    "decision_figure",
    "histogram_figure",
    "legend_uri",
    "mosaic",
    "overlaid",
    "panels_png",
    "patch_uris",
    "png_uri",
    "pr_figure",
    "reliability_figure",
    "render",
    "robustness_figure",
    "robustness_png",
    "roc_figure",
    "tiles_png",
    "top_of",
    "training_figure",
]
