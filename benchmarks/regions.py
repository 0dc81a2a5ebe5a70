"""Maps beside their masks: real regions, and synthetic sections with known foci.

    python benchmarks/regions.py REGIONS --out DIR [--run nodenet-base] [--mpp 0.97] [--sections 6]

REGIONS has `images/` and `masks/` of PNG files of equal names. Each position is labelled by the
rule of the patches: tumour where any pixel of the mask lies in its square of 32x32 px. Written are
`regions.json` (AUC per position over all and within each region; on synthetic sections also FROC
and the error of the measured focus size), `regions.jpg` and `section.jpg`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from sentinode.config import SlideConfig
from sentinode.metrics import (
    Detections,
    focus_diameters,
    froc,
    join_foci,
    match_detections,
    roc_auc,
)
from sentinode.models import resolve_run
from sentinode.phantom import make_section
from sentinode.predict.dense import Dense
from sentinode.slide import Job, analyse_cohort, peaks
from sentinode.slides import Slide, write_pyramid
from sentinode.types import RESEARCH_USE_ONLY

STRIDE, PATCH = 32, 96
SECTION_PX = 3600
SHOWN = 8


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("regions", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--run", default="nodenet-base")
    parser.add_argument("--mpp", type=float, default=0.97)
    parser.add_argument("--sections", type=int, default=6)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {"notice": RESEARCH_USE_ONLY, "run": args.run}
    found["regions"] = real(args.regions, args.run, args.mpp, args.out / "regions.jpg")
    if args.sections:
        found["sections"] = synthetic(args.run, args.sections, args.out / "section.jpg")
    (args.out / "regions.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps({k: v for k, v in found["regions"].items() if k != "each"}))


def real(folder: Path, run_name: str, mpp: float, picture: Path) -> dict[str, Any]:
    run = resolve_run(run_name)
    dense, calibration = Dense(run, STRIDE), run.calibration()
    if calibration is None:
        raise SystemExit(f"{run_name} is not calibrated; see `sentinode calibrate --help`")
    shown, labels, probabilities, each = [], [], [], {}
    for path in sorted((folder / "images").glob("*.png")):
        with Slide(path, mpp) as slide:
            width, height = slide.dimensions
            image = slide.read(0, 0, width, height, mpp)
        mask = np.asarray(Image.open(folder / "masks" / path.name).convert("L")) > 127
        grid = calibration.apply(dense.logits(image))
        label = squares(mask)[1:-1, 1:-1][: grid.shape[0], : grid.shape[1]]
        labels.append(label.ravel())
        probabilities.append(grid.ravel())
        auc = roc_auc(label.ravel(), grid.ravel())
        each[path.stem] = {
            "auc": None if np.isnan(auc) else auc,
            "tumour": float(label.mean()),
            "mean_probability": float(grid.mean()),
        }
        shown.append((path.stem, image, mask, grid))
    draw(shown, picture)
    y, p = np.concatenate(labels).astype(int), np.concatenate(probabilities)
    within = [v["auc"] for v in each.values() if v["auc"] is not None]
    return {
        "positions": len(y),
        "tumour": float(y.mean()),
        "auc": roc_auc(y, p),
        "mean_auc_within_regions": float(np.mean(within)),
        "regions_with_both": len(within),
        "each": each,
    }


def squares(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell for each square of 32x32 px whether it meets the mask."""
    rows, columns = (-(-side // STRIDE) for side in mask.shape)
    padded = np.zeros((rows * STRIDE, columns * STRIDE), bool)
    padded[: mask.shape[0], : mask.shape[1]] = mask
    met: NDArray[np.bool_] = padded.reshape(rows, STRIDE, columns, STRIDE).any((1, 3))
    return met


def draw(regions: list[tuple[str, Any, Any, Any]], path: Path) -> None:
    """Draw those with both tissues first: region, mask and map side by side."""
    mixed = sorted(regions, key=lambda r: abs(r[2].mean() - 0.5))[:SHOWN]
    per_row = 2
    rows = -(-len(mixed) // per_row)
    figure = Figure(figsize=(3 * per_row * 1.9, rows * 2.05), layout="constrained", dpi=90)
    axes = figure.subplots(rows, 3 * per_row, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    shown = None
    for i, (name, image, mask, grid) in enumerate(sorted(mixed, key=lambda r: r[0])):
        row, left = divmod(i, per_row)
        trio = axes[row, 3 * left : 3 * left + 3]
        trio[0].imshow(image)
        trio[1].imshow(mask, cmap="gray", vmin=0, vmax=1)
        height, width = mask.shape
        low = (PATCH - STRIDE) // 2
        extent = (low, low + grid.shape[1] * STRIDE, low + grid.shape[0] * STRIDE, low)
        shown = trio[2].imshow(grid, vmin=0, vmax=1, extent=extent, interpolation="none")
        trio[2].contour(mask, levels=[0.5], colors="#D55E00", linewidths=1.2)
        trio[2].set(xlim=(0, width), ylim=(height, 0))
        for axis, title in zip(trio, (name, "mask", "probability"), strict=True):
            axis.set_title(title, fontsize=8)
    figure.colorbar(shown, ax=axes, location="bottom", shrink=0.4, aspect=40, label="probability")
    figure.text(0.005, 0.005, RESEARCH_USE_ONLY, fontsize=7)
    with mpl.rc_context({"savefig.facecolor": "white"}):
        figure.savefig(path, pil_kwargs={"quality": 80, "optimize": True})


def synthetic(run: str, count: int, picture: Path) -> dict[str, Any]:
    matched: list[Detections] = []
    labels, probabilities, sizes = [], [], []
    with TemporaryDirectory() as work:
        for seed in range(count):
            section = make_section(100 + seed, SECTION_PX, marks=False)
            path = Path(work) / f"section_{seed}.tif"
            write_pyramid(path, section.image, section.mpp)
            out = Path(work) / "out"
            job = Job(run, out, None, SlideConfig())
            outcome = analyse_cohort(job, [path]).outcomes[0]
            assert outcome.summary is not None, outcome.reason
            grid = read_map(out / path.stem)
            cell = STRIDE * section.mpp / 1000
            truth = squares(section.tumour)
            known = ~np.isnan(grid)
            labels.append(truth[known])
            probabilities.append(grid[known])
            places, scores = peaks(grid, cell)
            coarse = section.tumour[::8, ::8]
            at = places * STRIDE // 8 + STRIDE // 16
            matched.append(match_detections(coarse, cell / 4, at, scores))
            joined = join_foci(coarse, cell / 4)
            largest = focus_diameters(*joined, cell / 4).max(initial=0.0)
            sizes.append((float(largest), outcome.summary.largest_focus_mm))
            if seed == 0:
                beside(section, grid, picture)
    y = np.concatenate(labels).astype(int)
    p = np.concatenate(probabilities)
    curve = froc(matched)
    errors = [measured - true for true, measured in sizes]
    return {
        "sections": count,
        "side_px": SECTION_PX,
        "positions": len(y),
        "auc": roc_auc(y, p),
        "froc_score": curve.score,
        "froc_at": curve.at,
        "foci": curve.foci,
        "largest_focus_mm_true_and_measured": sizes,
        "focus_error_mm_mean": float(np.mean(errors)),
        "focus_error_mm_mean_absolute": float(np.mean(np.abs(errors))),
    }


def read_map(folder: Path) -> NDArray[Any]:
    import tifffile

    found: NDArray[Any] = tifffile.imread(folder / "map.ome.tif")
    return found


def beside(section: Any, grid: NDArray[Any], path: Path) -> None:
    """Draw a section, its truth and its map."""
    figure = Figure(figsize=(12, 4.6), layout="constrained", dpi=90)
    axes = figure.subplots(1, 3)
    truth = np.full((*section.tumour.shape, 3), 255, np.uint8)[::4, ::4]
    truth[section.tissue[::4, ::4]] = (200, 200, 215)
    truth[section.tumour[::4, ::4]] = (213, 94, 0)
    side = section.tumour.shape[0]
    extent = (0, grid.shape[1] * STRIDE, grid.shape[0] * STRIDE, 0)
    axes[0].imshow(section.image[::4, ::4], extent=(0, side, side, 0))
    axes[1].imshow(truth, extent=(0, side, side, 0), interpolation="none")
    shown = axes[2].imshow(grid, vmin=0, vmax=1, extent=extent, interpolation="none")
    titles = ("synthetic section", "truth: tissue, tumour", "probability of tumour")
    for axis, title in zip(axes, titles, strict=True):
        axis.set_axis_off()
        axis.set_title(title, fontsize=10)
    figure.colorbar(shown, ax=axes[2], shrink=0.7)
    figure.text(0.005, 0.01, f"Synthetic. {RESEARCH_USE_ONLY}", fontsize=7)
    figure.savefig(path, pil_kwargs={"quality": 80, "optimize": True})


if __name__ == "__main__":
    main()
