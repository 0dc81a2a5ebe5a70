"""Stain normalisation of real patches, ours beside torchstain's, in one run.

    python benchmarks/stain.py SET [--patches 512] [--repeats 5] [--out FILE.json]

SET is a packed set. torchstain normalises one patch a call, as its documentation shows, with both
of its backends; ours takes the batch as a NumPy array and as a CPU tensor. Rounds alternate, and
each figure is the median of its rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from sentinode.core import cores, processor_name
from sentinode.stain import estimate, fit_target, normalise
from sentinode.tables import PackedSet

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torchstain

THEIRS = {
    "macenko": torchstain.normalizers.MacenkoNormalizer,
    "reinhard": torchstain.normalizers.ReinhardNormalizer,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("packed", type=Path)
    parser.add_argument("--patches", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    images = _tissue(PackedSet.open(args.packed), args.patches)
    rows = []
    for method in ("macenko", "reinhard"):
        ways = _ways(method, images)
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(args.repeats):
            for name, way in ways.items():
                start = time.perf_counter()
                way()
                times[name].append((time.perf_counter() - start) / len(images) * 1e3)
        rows.append(_row(method, times))
        print(json.dumps(rows[-1]), flush=True)
    if args.out:
        machine = {"processor": processor_name(), "cores": cores(), "patches": len(images)}
        args.out.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


def _tissue(packed: PackedSet, count: int) -> np.ndarray:
    """Patches that torchstain can do too: enough tissue, of more than one colour."""
    tissue = packed.manifest.frame["tissue"].to_numpy(float, na_value=0.0)
    rows = np.flatnonzero(packed.manifest.usable & (tissue > 0.3))
    images = np.asarray(packed.images[rows[:: max(len(rows) // (2 * count), 1)]])
    return images[~np.isnan(estimate(images)).any(axis=(1, 2))][:count]


def _ways(method: str, images: np.ndarray) -> dict[str, Callable[[], object]]:
    tensor = torch.from_numpy(images)
    turned = list(tensor.permute(0, 3, 1, 2).contiguous())
    ours = fit_target(images[:1], method)
    by_array, by_tensor = THEIRS[method](backend="numpy"), THEIRS[method](backend="torch")
    by_array.fit(images[0])
    by_tensor.fit(turned[0])
    more = {"stains": False} if method == "macenko" else {}
    return {
        "torchstain, numpy": lambda: [by_array.normalize(i, **more) for i in images],
        "torchstain, torch": lambda: [by_tensor.normalize(i, **more) for i in turned],
        "ours, numpy": lambda: normalise(images, ours),
        "ours, torch": lambda: normalise(tensor, ours),
    }


def _row(method: str, times: dict[str, list[float]]) -> dict[str, object]:
    medians = {name: statistics.median(values) for name, values in times.items()}
    theirs = min(v for name, v in medians.items() if name.startswith("torchstain"))
    default = medians["torchstain, torch"]
    best = medians["ours, numpy"]
    return {
        "method": method,
        "ms_a_patch": {name: round(v, 3) for name, v in medians.items()},
        "times torchstain's default (torch)": round(default / best, 1),
        "times the faster of its backends": round(theirs / best, 1),
        "rounds_ms": {name: [round(v, 3) for v in values] for name, values in times.items()},
    }


if __name__ == "__main__":
    main()
