"""`sentinode predict`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sentinode.cli.options import ConfigFile, Overrides, config_of, folds_of

if TYPE_CHECKING:
    from sentinode.tables import Predictions

LINES_SAID = 10
SHIFTED, FEWEST = 0.2, 50
RUN_HELP = (
    "Run folder, the folder of an export, or the name of weights that come with the package, as in "
    "nodenet-base."
)


def predict_command(
    run: Annotated[str, typer.Argument(help=RUN_HELP)],
    patches: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="A packed set, a folder of images (Kaggle's test/ for one), a table or .txt of "
            "paths, one a line, or one image.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="File to write, .parquet or .csv.")],
    folds: Annotated[
        str | None,
        typer.Option(help="Folds, as in valid,test; by default all but train."),
    ] = None,
    runtime: Annotated[
        str | None, typer.Option(help="auto (the fastest that is there), torch, onnx or openvino.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="auto, float32, bfloat16, or int8 (of an export).")
    ] = None,
    d4: Annotated[
        bool,
        typer.Option("--d4", help="Mean logit of the eight orientations; no use to nodenet."),
    ] = False,
    angles: Annotated[
        int | None,
        typer.Option(help="Mean logit of this many angles within a right angle; 2 helps nodenet."),
    ] = None,
    shades: Annotated[
        bool,
        typer.Option(
            "--shades",
            help="Mean logit of each view as it is, paler and darker, at threefold cost; helps "
            "nodenet.",
        ),
    ] = False,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Predict the probability of tumour for patches.

    Interrupted and started again, it goes on where it was.
    """
    asked = [*(overrides or [])]
    for key, value in (("runtime", runtime), ("precision", precision), ("angles", angles)):
        asked += [f"predict.{key}={value}"] if value is not None else []
    asked += ["predict.d4=true"] if d4 else []
    asked += ["predict.shades=true"] if shades else []
    settings, chosen = config_of(config, asked), folds_of(folds)

    from sentinode.core import run_folder
    from sentinode.predict import predict_file

    start = time.perf_counter()
    predictions = predict_file(run_folder(run), patches, out, settings, chosen)
    _tell(predictions, out, time.perf_counter() - start)


def _tell(predictions: Predictions, out: Path, seconds: float) -> None:
    from sentinode.types import RESEARCH_USE_ONLY

    note, count = predictions.note, len(predictions.frame)
    for remark in note.get("remarks", ()):
        typer.echo(remark, err=True)
    left_out: dict[str, str] = note.get("left_out", {})
    for number, (name, why) in enumerate(left_out.items()):
        typer.echo(f"left out {name}: {why}" if number < LINES_SAID else "...", err=True)
        if number == LINES_SAID:
            break
    shift = note.get("calibration", {}).get("shift", 0.0)
    if shift >= SHIFTED and count >= FEWEST:
        typer.echo(
            f"warning: these patches do not look like those the calibration was fitted on (their "
            f"logits differ by {shift:.2f}, Kolmogorov-Smirnov): another stain or scanner, or "
            "another share of tumour; do not take the probabilities at their word",
            err=True,
        )
    probability = predictions.frame["probability"]
    seen = f", {note['orientations']} views of each" if note["orientations"] > 1 else ""
    typer.echo(
        f"wrote {out}: {count:,} patches predicted, {len(left_out):,} left out; {note['model']} by "
        f"{note['runtime']} on {note['device']} in {note['precision']}{seen}"
    )
    typer.echo(
        f"{seconds:.1f} s in all, {count / seconds:,.0f} patches/s; probability of tumour: median "
        f"{probability.median():.3f}, {(probability >= 0.5).mean():.1%} at 0.5 or above"
    )
    typer.echo(RESEARCH_USE_ONLY)
