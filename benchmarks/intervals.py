"""Time every metric's interval, and a whole report, at 300,000 predictions and 2,000 resamples.

First the resampling of slides and of patches alone, then `evaluate` as it is called: thresholds,
curves, decision curve, abstention, conformal sets, groups and intervals over slides.

Run: python benchmarks/intervals.py [--predictions N] [--slides S] [--resamples R] [--out JSON]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sentinode.config import EvaluateConfig
from sentinode.core import Watch, provenance
from sentinode.evaluate import evaluate
from sentinode.metrics import bootstrap, spread
from sentinode.tables import Predictions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--predictions", type=int, default=300_000)
    parser.add_argument("--slides", type=int, default=400)
    parser.add_argument("--resamples", type=int, default=2_000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    n = options.predictions
    labels = rng.random(n) < 0.4
    probabilities = (1 / (1 + np.exp(-rng.normal(np.where(labels, 1.0, -1.0), 1.2)))).astype("f4")
    slides = rng.integers(0, options.slides, n)
    rows = [
        _resampling(labels, probabilities, codes, unit, options.resamples)
        for unit, codes in {"slides": slides, "patches": np.arange(n)}.items()
    ]
    rows.append(_report(labels, probabilities, slides, options.resamples))
    for row in rows:
        print(json.dumps(row))
    if options.out:
        made = provenance("benchmark intervals").model_dump(mode="json")
        options.out.write_text(json.dumps({"rows": rows, "provenance": made}, indent=2) + "\n")


def _resampling(
    labels: np.ndarray, probabilities: np.ndarray, codes: np.ndarray, unit: str, resamples: int
) -> dict[str, Any]:
    with Watch() as watch:
        draws = bootstrap(
            labels,
            probabilities,
            codes,
            {"chosen": 0.4, "half": 0.5},
            resamples=resamples,
            seed=42,
        )
    auc = spread(draws.overall["roc_auc"], 0.95)
    assert auc is not None
    return {
        "what": f"intervals over {unit}",
        "predictions": len(labels),
        "units": int(codes.max()) + 1,
        "resamples": resamples,
        "seconds": round(watch.seconds, 2),
        "peak_memory_mib": round(watch.peak_bytes / 2**20),
        "roc_auc": [round(auc.low, 5), round(auc.high, 5)],
    }


def _report(
    labels: np.ndarray, probabilities: np.ndarray, slides: np.ndarray, resamples: int
) -> dict[str, Any]:
    frame = pd.DataFrame(
        {
            "id": np.char.mod("%06d", np.arange(len(labels))),
            "label": labels.astype(int),
            "slide": np.char.mod("s%04d", slides),
            "probability": probabilities,
            "fold": np.where(slides % 10 == 0, "valid", "test"),
        }
    )
    predictions = Predictions.make(frame, {})
    with Watch() as watch:
        report = evaluate(predictions, EvaluateConfig(resamples=resamples))
    auc = report.overall["roc_auc"]
    return {
        "what": "whole report, intervals over slides",
        "predictions": report.rows.reported,
        "units": report.units,
        "resamples": resamples,
        "seconds": round(watch.seconds, 2),
        "peak_memory_mib": round(watch.peak_bytes / 2**20),
        "roc_auc": [auc.low, auc.high],
    }


if __name__ == "__main__":
    main()
