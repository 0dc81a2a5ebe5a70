"""Speed of slides: dense against patch by patch, and a synthetic slide from file to all outputs.

    python benchmarks/slide.py dense [--run nodenet-base] [--positions 96] [--rounds 5] [--out F]
    python benchmarks/slide.py slide [--side 20000] [--run nodenet-base] [--out F]
    python benchmarks/slide.py growth [--side 5000] [--run nodenet-base] [--out F]

`dense` counts the operations of one position both ways, and times both with the same runtime, in
float32 and, where the processor has it, bfloat16; rounds alternate. `slide` writes a section of
which a third is tissue and maps it in a process of its own, with the time's shares and the memory.
`growth` does so at 1, 4 and 16 times the area with a third of tissue, and again with the tissue of
the smallest on all: time has to follow tissue, not glass.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import psutil
import torch
from torch.utils.flop_counter import FlopCounterMode

from sentinode.core import cores, processor_name
from sentinode.models import (
    Compute,
    DenseNetwork,
    computes_bfloat16,
    folded,
    new_network,
    resolve_run,
)
from sentinode.phantom import make_section
from sentinode.predict.dense import Dense
from sentinode.slides import write_pyramid

STRIDE, PATCH, BATCH = 32, 96, 32


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=("dense", "slide", "growth"))
    parser.add_argument("--run", default="nodenet-base")
    parser.add_argument("--positions", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", type=int)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    found: dict[str, Any] = {
        "machine": {"processor": processor_name(), "cores": cores(), "run": args.run}
    }
    if args.what == "dense":
        found |= dense(args.run, args.positions, args.rounds)
    elif args.what == "slide":
        with TemporaryDirectory() as work:
            found |= one_slide(args.run, args.side or 20_000, 1 / 3, Path(work))
    else:
        found["rows"] = growth(args.run, args.side or 5000)
    print(json.dumps(found, indent=1))
    if args.out:
        args.out.write_text(json.dumps(found, indent=1) + "\n")


def operations(run: str) -> dict[str, float]:
    """Count the operations of one position, patch by patch and within an endless region."""
    network = new_network(resolve_run(run).spec, 1)
    assert isinstance(network, DenseNetwork)
    plain = folded(network).to("meta")
    assert isinstance(plain, DenseNetwork)

    def flop(side: int) -> int:
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), counter:
            plain.dense(torch.empty(1, 3, side, side, device="meta"), STRIDE)
        return counter.get_total_flops()

    one = flop(PATCH)
    # a row more on an n x n region costs the rim of its sides too; the second difference does not
    a, b, c = (flop(PATCH + STRIDE * n) for n in (100, 101, 102))
    each = (a - 2 * b + c) / 2
    return {"patch_by_patch": one, "dense": each, "ratio": one / each}


def dense(run_name: str, positions: int, rounds: int) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    side = PATCH + STRIDE * (positions - 1)
    region = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
    run, counted = resolve_run(run_name), operations(run_name)
    threads = torch.get_num_threads()
    kinds = ["float32"] + (["bfloat16"] if computes_bfloat16("cpu") else [])
    ways: dict[str, Callable[[], int]] = {}
    for kind in kinds:
        ready = Dense(run, STRIDE, Compute("cpu", kind, threads), batch_size=BATCH)  # type: ignore[arg-type]
        ways[f"dense {kind}"] = lambda ready=ready: ready.logits(region).size  # type: ignore[misc]
        single = Dense(run, STRIDE, Compute("cpu", kind, threads), batch_size=BATCH)  # type: ignore[arg-type]
        single.said = "patch by patch, to compare"
        few = region[: PATCH + STRIDE * 7]  # a row of tiles: as fast for each patch as all
        ways[f"patches {kind}"] = lambda single=single, few=few: single.logits(few).size  # type: ignore[misc]
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            count = way()
            if number:  # the first round compiles kernels
                rates[name].append(count / (time.perf_counter() - start))
    ratio = {
        kind: statistics.median(rates[f"dense {kind}"])
        / statistics.median(rates[f"patches {kind}"])
        for kind in kinds
    }
    return {
        "flop_of_one_position": counted,
        "positions_per_s": {k: statistics.median(v) for k, v in rates.items()},
        "raw": rates,
        "speed_ratio": ratio,
        "share_of_operations_ratio": {k: v / counted["ratio"] for k, v in ratio.items()},
    }


def one_slide(run: str, side: int, share: float, work: Path) -> dict[str, Any]:
    path = work / f"section_{side}.tif"
    section = make_section(7, side, share)
    tissue = float(section.tissue.mean(dtype=np.float64))
    write_pyramid(path, section.image, section.mpp)
    del section
    return {"side_px": side, "tissue_share": tissue} | measured(run, path, work / f"out_{side}")


def measured(run: str, path: Path, out: Path) -> dict[str, Any]:
    """Map a slide in a process of its own; its memory is sampled from outside."""
    command = [sys.executable, "-m", "sentinode", "slide", run, str(path), "--out", str(out)]
    start, peak = time.perf_counter(), 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            peak = max(peak, watched.memory_info().rss)
        except psutil.Error:
            break
        time.sleep(0.1)
    seconds = time.perf_counter() - start
    if process.wait():
        raise SystemExit(f"sentinode slide ended with {process.returncode}")
    row = pd.read_csv(out / "slides.csv").iloc[0]
    parts = {
        name: float(row[f"{name}_s"]) for name in ("reading", "masking", "inferring", "writing")
    }
    total = float(row["seconds"])
    return {
        "seconds_with_start": seconds,
        "seconds": total,
        "peak_gib": peak / 2**30,
        "positions": int(row["positions"]),
        "share": {name: value / total for name, value in parts.items()},
        "outputs_bytes": {p.name: p.stat().st_size for p in sorted((out / path.stem).iterdir())},
    }


def growth(run: str, side: int) -> list[dict[str, Any]]:
    rows = []
    with TemporaryDirectory() as work:
        for times in (1, 2, 4):
            for same_tissue in (False, True):
                if times == 1 and same_tissue:
                    continue
                share = 1 / 3 / times**2 if same_tissue else 1 / 3
                folder = Path(work) / f"{times}_{same_tissue}"
                folder.mkdir()
                found = one_slide(run, side * times, share, folder)
                rows.append({"area": times**2, "tissue": 1 if same_tissue else times**2} | found)
                print(json.dumps(rows[-1]), flush=True)
    return rows


if __name__ == "__main__":
    main()
