"""What every metric is given: labels and probabilities of equal length."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sentinode.errors import InputError

__all__ = ["BoolArray", "FloatArray", "IntArray", "checked", "logit", "ratio"]

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

EPSILON = float(np.finfo(np.float32).eps)
"""Probabilities are kept this far from 0 and 1 where a logarithm is taken of them; it is the
resolution of the float32 in which predictions are stored."""


def checked(labels: ArrayLike, probabilities: ArrayLike) -> tuple[BoolArray, FloatArray]:
    """Return labels as bool (N,) and probabilities as float64 (N,).

    Raises:
        InputError: They differ in length, are empty, or hold anything but 0 and 1, or 0..1.
    """
    y = np.asarray(labels)
    p = np.asarray(probabilities, dtype=np.float64)
    if y.ndim != 1 or y.shape != p.shape:
        raise InputError(
            f"expected as many labels as probabilities in one dimension, got {y.shape}, {p.shape}"
        )
    if not len(y):
        raise InputError("expected at least one labelled probability, got none")
    if not np.isin(y, (0, 1)).all():
        raise InputError("a label is not 0 or 1")
    if not ((p >= 0) & (p <= 1)).all():
        raise InputError("a probability is no number in 0..1")
    return y.astype(np.bool_), p


def logit(probabilities: FloatArray) -> FloatArray:
    """Return ``log(p / (1 - p))`` of float64 (N,) in 0..1, kept finite (see ``EPSILON``)."""
    p = np.clip(probabilities, EPSILON, 1 - EPSILON)
    return np.asarray(np.log(p) - np.log1p(-p))


def ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Return the ratio of equally shaped float64 arrays, NaN where the denominator is 0."""
    undefined = denominator == 0
    return np.where(undefined, np.nan, numerator / np.where(undefined, 1.0, denominator))
