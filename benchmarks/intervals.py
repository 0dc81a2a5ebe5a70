"""Time every metric's interval: 300,000 predictions, 2,000 resamples of slides, then of patches.

Run: python benchmarks/intervals.py [--predictions N] [--slides S] [--resamples R] [--out JSON]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from sentinode.core import Watch, provenance
from sentinode.metrics import bootstrap, spread


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
    rows = []
    for unit, codes in {
        "slides": rng.integers(0, options.slides, n),
        "patches": np.arange(n),
    }.items():
        with Watch() as watch:
            draws = bootstrap(
                labels,
                probabilities,
                codes,
                {"chosen": 0.4, "half": 0.5},
                resamples=options.resamples,
                seed=42,
            )
        auc = spread(draws.overall["roc_auc"], 0.95)
        assert auc is not None
        row = {
            "unit": unit,
            "predictions": n,
            "units": int(codes.max()) + 1,
            "resamples": options.resamples,
            "seconds": round(watch.seconds, 2),
            "peak_memory_mib": round(watch.peak_bytes / 2**20),
            "roc_auc": [round(auc.low, 5), round(auc.high, 5)],
        }
        print(json.dumps(row))
        rows.append(row)
    if options.out:
        made = provenance("benchmark intervals").model_dump(mode="json")
        options.out.write_text(json.dumps({"rows": rows, "provenance": made}, indent=2) + "\n")


if __name__ == "__main__":
    main()
