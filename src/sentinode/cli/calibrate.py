"""`sentinode calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from sentinode.models import Run
    from sentinode.tables import Calibration, Predictions

SAID = {
    "log_loss": "log-loss",
    "brier": "Brier",
    "ece_width": "ECE, equal width",
    "ece_mass": "ECE, equal mass",
    "slope": "slope",
    "intercept": "intercept",
}


def calibrate_command(
    run: Annotated[
        str, typer.Argument(help="Run folder; of weights that come with the package, a copy.")
    ],
    predictions: Annotated[
        Path, typer.Argument(help="What the run predicted for labelled patches it never saw.")
    ],
    method: Annotated[
        Literal["temperature", "platt", "isotonic"],
        typer.Option(help="One number, two numbers, or a stairway."),
    ] = "temperature",
    folds: Annotated[
        str | None, typer.Option(help="Folds of the predictions to use, as in valid; else all.")
    ] = None,
) -> None:
    """Fit probabilities to how often they came true, and keep that with the run."""
    from sentinode.core import provenance
    from sentinode.evaluate import calibrate
    from sentinode.models import resolve_run
    from sentinode.tables import Predictions

    opened = resolve_run(run)
    given = _chosen(_of_run(Predictions.read(predictions), opened, predictions), folds)
    note = provenance(
        "calibrate", config={"method": method}, inputs={"weights": opened.weights_hash}
    )
    calibration = calibrate(given, method, note, opened.weights_hash)
    calibration.write(_writable(opened.folder))
    _say(calibration)
    typer.echo(f"kept with {opened.folder}; predict puts it upon the logits from now on")


def _writable(folder: Path) -> Path:
    from sentinode.core import weight_names
    from sentinode.core.shipped import run_folder
    from sentinode.errors import InputError

    if folder in [run_folder(name) for name in weight_names()]:
        raise InputError(
            f"{folder.name} comes with the package; copy {folder} and calibrate the copy"
        )
    return folder


def _of_run(predictions: Predictions, run: Run, path: Path) -> Predictions:
    from sentinode.errors import InputError

    made_by = predictions.note.get("weights_sha256", run.weights_hash)
    if made_by != run.weights_hash:
        raise InputError(f"{path} was predicted by other weights than {run.folder} holds")
    if (views := predictions.note.get("orientations", 1)) > 1:
        typer.echo(
            f"warning: {path} holds means over {views} views of each patch; the calibration will "
            "be put upon single views as well, as of `slide`, whose logits are spread otherwise",
            err=True,
        )
    return predictions


def _chosen(predictions: Predictions, folds: str | None) -> Predictions:
    from sentinode.cli.options import folds_of
    from sentinode.errors import InputError
    from sentinode.tables import Predictions

    chosen = folds_of(folds)
    if chosen is None:
        return predictions
    frame = predictions.frame[predictions.frame["fold"].isin(chosen)]
    if not len(frame):
        raise InputError(f"the predictions hold no row of fold {folds}")
    return Predictions(frame, predictions.note)


def _say(calibration: Calibration) -> None:
    from sentinode.evaluate import made_worse

    if calibration.method == "temperature":
        typer.echo(f"temperature {1 / calibration.slope:.3f}, on {calibration.fitted_on}")
    else:
        typer.echo(f"{calibration.method}, on {calibration.fitted_on}")
    typer.echo("                   before   after, judged on what each fit left out")
    for name, before in calibration.before.items():
        after = calibration.after.get(name)
        typer.echo(f"{SAID[name]:<18} {before:.4f}" + ("" if after is None else f"   {after:.4f}"))
    worse = [SAID[name] for name in made_worse(calibration)]
    if worse:
        typer.echo(
            f"warning: the calibration makes the {', '.join(worse)} worse on patches it was not "
            "fitted to; remove calibration.json, take a simpler method, or calibrate on more "
            "patches",
            err=True,
        )
