"""Calibrations made up for tests of exports."""

from __future__ import annotations

from sentinode.core import provenance
from sentinode.models import Run
from sentinode.tables import Calibration


def calibration(run: Run, **values: object) -> Calibration:
    given = {"method": "platt", "slope": 1.7, "intercept": -0.4} | values
    fixed = {
        "weights_sha256": run.weights_hash,
        "fitted_on": "96 patches",
        "patches": 96,
        "before": {},
        "after": {},
        "provenance": provenance("calibrate"),
    }
    return Calibration.model_validate(given | fixed)
