"""Colour of the stains: optical density, stain vectors, normalisation to a target, and jitter.

Every function takes NumPy arrays or PyTorch tensors, on any device, and returns what it was
given; this package itself imports no PyTorch.
"""

from sentinode.stain.density import BACKGROUND, optical_density, to_rgb
from sentinode.stain.estimates import METHODS, Method, estimate, estimate_pooled
from sentinode.stain.jitter import HED, jitter, mix_stains
from sentinode.stain.target import StainTarget, common_target, fit_target, normalise

__all__ = [
    "BACKGROUND",
    "HED",
    "METHODS",
    "Method",
    "StainTarget",
    "common_target",
    "estimate",
    "estimate_pooled",
    "fit_target",
    "jitter",
    "mix_stains",
    "normalise",
    "optical_density",
    "to_rgb",
]
