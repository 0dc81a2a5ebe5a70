"""Pack, audit, against and explore at three sizes, beside the second notebook's reading loop.

    python benchmarks/data.py PATCHES --work FOLDER [--sizes 2000 22000 220025] [--out FILE.json]

PATCHES is a folder of real patches that `sentinode pack` reads. From them and from phantoms a set
in Kaggle's layout (one uncompressed strip a TIFF) is written at each size into --work: every patch
is a real or rendered one, turned, shifted and with its brightness changed, so that no two are
copies. Each command runs in a process of its own, from its start to its end; beside it stands the
rate that pack itself reports, of reading alone. Memory is what that process and its children hold
for themselves (RssAnon), sampled every 0.2 s. Before each timed reading, the files are read once,
so that both ways find them in the system's cache if they fit there.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
from PIL import Image

from sentinode.core import cores, processor_name
from sentinode.tables import PackedSet

SAMPLE_S = 0.2
COPIED_SHARE = 0.02  # of the smaller set, in the comparison of two sets


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("patches", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=[2000, 22000, 220025])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    pool = _pool(args.patches, args.work)
    rows = []
    for size in args.sizes:
        source = _kaggle_layout(pool, size, args.work / f"source-{size}", seed=size)
        rows += _measure(source, size, args.work, args.repeats if size < 100_000 else 1)
        shutil.rmtree(source)
        _print(rows)
        _write(args.out, rows)
    rows.append(_against(pool, max(args.sizes), args.work))
    _print(rows)
    _write(args.out, rows)


def _pool(patches: Path, work: Path) -> np.ndarray:
    """Real patches and a tenth as many phantoms: uint8 (N, 96, 96, 3)."""
    _run(["pack", str(patches), "--out", str(work / "real")])
    real = PackedSet.open(work / "real").images
    count = len(real) // 10
    cohort = work / "phantoms"
    if not cohort.exists():
        wanted = ["--set", f"phantom.patches={count}", "--set", "phantom.whole_slides=0"]
        _run(["phantom", "--out", str(cohort), *wanted])
    _run(["pack", str(cohort), "--out", str(work / "rendered")])
    return np.concatenate([real, PackedSet.open(work / "rendered").images])


def _kaggle_layout(pool: np.ndarray, count: int, root: Path, seed: int) -> Path:
    shutil.rmtree(root, ignore_errors=True)
    (root / "train").mkdir(parents=True)
    rng = np.random.default_rng(seed)
    template = root / "template.tif"
    Image.fromarray(pool[0]).save(template)
    before, after = template.read_bytes().split(pool[0].tobytes())
    template.unlink()
    with (root / "train_labels.csv").open("w") as labels:
        labels.write("id,label\n")
        for i in range(count):
            name = f"{seed:08x}{i:032x}"
            pixels = _varied(pool[rng.integers(len(pool))], rng)
            (root / "train" / f"{name}.tif").write_bytes(before + pixels.tobytes() + after)
            labels.write(f"{name},{int(rng.random() < 0.4)}\n")
    return root


def _varied(patch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    turned = np.rot90(patch[:, ::-1] if rng.random() < 0.5 else patch, rng.integers(4))
    moved = np.roll(turned, rng.integers(8, 88, 2), axis=(0, 1))
    table = (np.arange(256) * rng.uniform(0.85, 1.0)).astype(np.uint8)
    return np.ascontiguousarray(table[moved])


def _measure(source: Path, size: int, work: Path, repeats: int) -> list[dict[str, object]]:
    packed = work / f"set-{size}"
    notebook, pack, reading = [], [], []
    for _ in range(repeats):
        for file in sorted((source / "train").iterdir()):
            file.read_bytes()
        notebook.append(_notebook_loop(source))
        shutil.rmtree(packed, ignore_errors=True)
        pack.append(_run(["pack", str(source), "--out", str(packed)]))
        reading.append(size / pack[-1].reported_rate)
    rows = [
        _row("second notebook's loop", size, [Run(seconds) for seconds in notebook]),
        _row("pack", size, pack),
        _row("audit", size, [_run(["audit", str(packed)]) for _ in range(repeats)]),
    ]
    _run(["split", str(packed)])
    rows.append(_row("explore", size, [_run(["explore", str(packed)]) for _ in range(repeats)]))
    rows[1]["times the notebook"] = _ratio(notebook, [run.seconds for run in pack])
    rows[1]["reading_patches_per_s"] = round(size / statistics.median(reading))
    rows[1]["reading, times the notebook"] = _ratio(notebook, reading)
    rows[3]["page_mb"] = round((packed / "explore.html").stat().st_size / 1e6, 2)
    return rows


def _notebook_loop(source: Path) -> float:
    start = time.perf_counter()
    dark, bright = [], []
    for file in sorted((source / "train").iterdir()):
        image = np.array(Image.open(file))
        if image.max() < 10:
            dark.append(file)
        if image.min() > 245:
            bright.append(file)
    return time.perf_counter() - start


def _against(pool: np.ndarray, size: int, work: Path) -> dict[str, object]:
    """Compare the largest set with one of a quarter of its size, 2 % of it taken from the first."""
    large = PackedSet.open(work / f"set-{size}")
    count = int(size * 0.26)
    source = _kaggle_layout(pool, count, work / "source-other", seed=size + 1)
    names = sorted((source / "train").iterdir())
    copied = int(count * COPIED_SHARE)
    rng = np.random.default_rng(0)
    for name, row in zip(names[:copied], rng.choice(size, copied, replace=False), strict=True):
        name.unlink()
        Image.fromarray(large.images[row]).save(name.with_suffix(".jpg"), quality=75)
    _run(["pack", str(source), "--out", str(work / "other")])
    shutil.rmtree(source)
    pairs = work / "pairs.csv"
    measured = _run(
        ["audit", str(large.folder), "--against", str(work / "other"), "--out", str(pairs)]
    )
    found = len(pairs.read_text().splitlines()) - 1
    row = _row(f"against {count:,}", size, [measured])
    return row | {"pairs": found, "copied": copied}


class Run(NamedTuple):
    """Time, peak anonymous memory and reported rate of a command."""

    seconds: float
    peak: int = 0
    reported_rate: float = 0.0


def _run(arguments: list[str]) -> Run:
    """Run a command; take its time, its peak anonymous memory, and the rate it reports."""
    start = time.perf_counter()
    process = psutil.Popen(
        [sys.executable, "-m", "sentinode", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    peak = 0
    while process.poll() is None:
        held = 0
        for one in [process, *process.children(recursive=True)]:
            try:
                memory = one.memory_info()
            except psutil.Error:
                continue
            held += memory.rss - memory.shared
        peak = max(peak, held)
        time.sleep(SAMPLE_S)
    said = process.stderr.read().decode()
    if process.returncode:
        sys.exit(f"{' '.join(arguments)}: {said}")
    rates = re.findall(r"([\d,]+) patches/s", said)
    rate = float(rates[-1].replace(",", "")) if rates else 0.0
    return Run(time.perf_counter() - start, peak, rate)


def _ratio(slow: list[float], fast: list[float]) -> float:
    return round(statistics.median(s / f for s, f in zip(slow, fast, strict=True)), 2)


def _row(what: str, size: int, runs: list[Run]) -> dict[str, object]:
    seconds = [run.seconds for run in runs]
    return {
        "what": what,
        "patches": size,
        "seconds": round(statistics.median(seconds), 2),
        "patches_per_s": round(size / statistics.median(seconds)),
        "peak_anonymous_mb": round(max(run.peak for run in runs) / 1e6),
        "runs_s": [round(s, 2) for s in seconds],
    }


def _print(rows: list[dict[str, object]]) -> None:
    for row in rows:
        print("  ".join(f"{k} {v}" for k, v in row.items()), flush=True)
    print(flush=True)


def _write(out: Path | None, rows: list[dict[str, object]]) -> None:
    if out is not None:
        machine = {"processor": processor_name(), "cores": cores()}
        out.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
