"""Colours that stay apart for every kind of colour vision (Okabe and Ito, 2008)."""

from __future__ import annotations

__all__ = ["GREY", "INK", "NORMAL", "RULE", "TRAIN", "TUMOUR", "VALID"]

TUMOUR = "#D55E00"
NORMAL = "#0072B2"
TRAIN = "#56B4E9"
VALID = "#D55E00"
INK = "#1f2328"
GREY = "#6a737d"
RULE = "#d5d9de"
