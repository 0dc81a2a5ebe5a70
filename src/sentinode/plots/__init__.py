"""Figures and HTML pages, without a request to anywhere."""

from sentinode.plots.figures import (
    histogram_figure,
    pr_figure,
    reliability_figure,
    roc_figure,
    training_figure,
)
from sentinode.plots.images import patch_uris
from sentinode.plots.page import render

__all__ = [
    "histogram_figure",
    "patch_uris",
    "pr_figure",
    "reliability_figure",
    "render",
    "roc_figure",
    "training_figure",
]
