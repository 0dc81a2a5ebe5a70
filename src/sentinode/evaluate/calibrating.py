"""Fitting a calibration to predictions with labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from sentinode.core import Provenance
from sentinode.errors import InputError
from sentinode.evaluate.rows import counted, units_of
from sentinode.metrics import (
    FloatArray,
    IntArray,
    brier_terms,
    expected_calibration_error,
    log_loss_terms,
    recalibration,
    reliability,
)
from sentinode.tables import Calibration, CalibrationMethod, Predictions, Unit

__all__ = ["calibrate", "made_worse"]

FEWEST = 50  # patches of either label
PARTS = 5
QUANTILES = 101


def calibrate(
    predictions: Predictions, method: CalibrationMethod, provenance: Provenance, weights_sha256: str
) -> Calibration:
    """Fit a calibration to labelled predictions of patches that the network did not learn from.

    Temperature (Guo et al., 2017) and Platt's scaling (1999) are logistic regressions on the
    logit, without and with an intercept; isotonic (Zadrozny and Elkan, 2002) is scikit-learn's.
    The figures after it are of five fits, each judged on the units (slides where they are known)
    that it left out.

    Args:
        predictions: Uncalibrated logits and labels; rows without a label are left out.
        method: ``temperature``, ``platt`` or ``isotonic``.
        provenance: What is written with it.
        weights_sha256: Weights that made the predictions.

    Raises:
        InputError: Rows the network learnt from, fewer than 50 patches of a label, too few
            slides, or logits that fall where the share of tumour rises.
    """
    frame = predictions.frame
    frame = frame[frame["label"].notna()]
    if (frame["fold"] == "train").any():
        raise InputError(
            "calibration needs patches that the network did not learn from; these predictions "
            "hold rows of fold train"
        )
    z = frame["logit"].to_numpy(np.float64)
    if not np.isfinite(z).all():
        odd = frame["id"].iloc[int(np.flatnonzero(~np.isfinite(z))[0])]
        raise InputError(f"the logit of id {odd!r} is no finite number; leave such rows out")
    y = frame["label"].to_numpy(np.int64)
    if min((y == 1).sum(), (y == 0).sum()) < FEWEST:
        raise InputError(
            f"calibration needs at least {FEWEST} patches of either label, got "
            f"{(y == 1).sum():,} with tumour and {(y == 0).sum():,} without"
        )
    units, unit, _ = units_of(frame)
    after = _left_out(method, z, y, units)
    return Calibration(
        method=method,
        **_fit(method, z, y),
        weights_sha256=weights_sha256,
        fitted_on=_said(units, unit, sorted(frame["fold"].dropna().unique())),
        patches=len(y),
        quantiles=tuple(np.quantile(z, np.linspace(0, 1, QUANTILES)).tolist()),
        before=_figures(y, expit(z), units),
        after=_figures(y, after, units),
        provenance=provenance,
    )


def made_worse(calibration: Calibration) -> tuple[str, ...]:
    """Return the figures that a calibration makes worse on patches that it was not fitted to.

    Log-loss, Brier score and calibration errors are better where they are lower.
    """
    names = ("log_loss", "brier", "ece_width", "ece_mass")
    return tuple(n for n in names if calibration.after[n] > calibration.before[n])


def _fit(method: CalibrationMethod, z: FloatArray, y: IntArray) -> dict[str, Any]:
    if method == "isotonic":
        least = 1 / (len(y) + 2)  # rule of succession: so many patches prove no 0 and no 1
        stairs = IsotonicRegression(
            y_min=least, y_max=1 - least, increasing=True, out_of_bounds="clip"
        ).fit(z, y)
        pairs = zip(stairs.X_thresholds_.tolist(), stairs.y_thresholds_.tolist(), strict=True)
        return {"knots": tuple(pairs)}
    apart = z[y == 1].min() >= (0.0 if method == "temperature" else z[y == 0].max())
    if apart and (method == "platt" or z[y == 0].max() <= 0):
        raise InputError(
            "the logits tell the labels apart without a mistake, so that nothing says how sure "
            "they may be; calibrate on more patches, or by --method isotonic"
        )
    logistic = LogisticRegression(C=np.inf, fit_intercept=method == "platt", tol=1e-8)
    logistic.fit(z[:, None], y)
    slope, intercept = float(logistic.coef_[0, 0]), float(np.ravel(logistic.intercept_)[0])
    if slope <= 0:
        raise InputError(
            f"the share of tumour falls where the logits rise (slope {slope:.3g}); are the labels "
            "and the predictions of one set, and does 1 mean tumour?"
        )
    return {"slope": slope, "intercept": intercept}


def _left_out(method: CalibrationMethod, z: FloatArray, y: IntArray, units: IntArray) -> FloatArray:
    """Return each row's probability by a fit without the rows of its part, float64 (N,)."""
    parts = StratifiedGroupKFold(PARTS, shuffle=True, random_state=0)
    probabilities = np.empty(len(z))
    if len(np.unique(units)) < PARTS:
        raise InputError(
            f"calibration needs at least {PARTS} slides to be judged on those it left out, got "
            f"{len(np.unique(units))}"
        )
    for rest, part in parts.split(z, y, units):
        if len(np.unique(y[rest])) < 2:
            raise InputError("one slide holds all patches of a label; calibrate on more slides")
        fitted = Calibration.model_construct(method=method, **_fit(method, z[rest], y[rest]))
        probabilities[part] = fitted.apply(z[part])
    return probabilities


def _figures(y: IntArray, p: FloatArray, units: IntArray) -> dict[str, float]:
    figures = {
        "log_loss": float(log_loss_terms(y, p).mean()),
        "brier": float(brier_terms(y, p).mean()),
        "ece_width": expected_calibration_error(reliability(y, p, "width")),
        "ece_mass": expected_calibration_error(reliability(y, p, "mass")),
    }
    moved = recalibration(y, p, units)
    if moved is not None:
        figures |= {"slope": moved.slope.value, "intercept": moved.intercept.value}
    return figures


def _said(units: IntArray, unit: Unit, folds: list[str]) -> str:
    patches = counted(len(units), "patch")
    of = f" of fold {', '.join(folds)}" if folds else ""
    if unit == "slides":
        return f"{patches}{of} on {counted(len(np.unique(units)), 'slide')}"
    return f"{patches}{of}, their slides not known"
