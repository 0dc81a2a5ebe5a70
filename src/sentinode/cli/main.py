"""The program `sentinode`: its commands, and how their errors are said.

A command's module imports nothing heavy at its top, so that ``--help`` answers at once.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from typing import Annotated, Any, NoReturn

import typer
import typer.core

from sentinode import __version__
from sentinode.cli.audit import audit_command
from sentinode.cli.calibrate import calibrate_command
from sentinode.cli.card import card_command
from sentinode.cli.compare import compare_command
from sentinode.cli.doctor import doctor_command
from sentinode.cli.download import download_command
from sentinode.cli.encoders import encoders_command
from sentinode.cli.ensemble import ensemble_command
from sentinode.cli.evaluate import evaluate_command
from sentinode.cli.examples import examples_command
from sentinode.cli.explain import explain_command
from sentinode.cli.explore import explore_command
from sentinode.cli.export import export_command
from sentinode.cli.extract import extract_command
from sentinode.cli.features import features_command
from sentinode.cli.import_keras import import_keras_command
from sentinode.cli.join import join_command
from sentinode.cli.learning_curve import learning_curve_command
from sentinode.cli.model import model_command
from sentinode.cli.pack import pack_command
from sentinode.cli.phantom import phantom_command
from sentinode.cli.predict import predict_command
from sentinode.cli.pretrain import pretrain_command
from sentinode.cli.reproduce import reproduce_command
from sentinode.cli.run import demo_command, run_command
from sentinode.cli.score_maps import score_maps_command
from sentinode.cli.settings import config_command, init_command
from sentinode.cli.show import show_command
from sentinode.cli.slide import slide_command
from sentinode.cli.split import split_command
from sentinode.cli.stain import stain_command
from sentinode.cli.stress import stress_command
from sentinode.cli.submission import submission_command
from sentinode.cli.train import train_command
from sentinode.cli.tune import tune_command

__all__ = ["app", "run"]

EXIT_USER_ERROR = 2
INTERRUPTED = 130  # what typer returns in place of KeyboardInterrupt


class _Commands(typer.core.TyperGroup):
    """The commands in the order of the work; an unknown one is answered with the nearest."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        found = super().get_command(ctx, cmd_name)
        if found is None:
            from sentinode.core import unknown_name
            from sentinode.errors import InputError

            raise InputError(unknown_name("command", cmd_name, self.commands))
        return found


app = typer.Typer(
    name="sentinode",
    cls=_Commands,
    help="Find metastatic cancer in H&E-stained lymph-node tissue, from patches to a report. "
    "Research use only: not a medical device, not for diagnosis or patient management.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo_command,
    "run": run_command,
    "init": init_command,
    "config": config_command,
    "phantom": phantom_command,
    "download": download_command,
    "pack": pack_command,
    "extract": extract_command,
    "audit": audit_command,
    "split": split_command,
    "explore": explore_command,
    "show": show_command,
    "stain": stain_command,
    "model": model_command,
    "encoders": encoders_command,
    "pretrain": pretrain_command,
    "train": train_command,
    "tune": tune_command,
    "import-keras": import_keras_command,
    "join": join_command,
    "reproduce": reproduce_command,
    "predict": predict_command,
    "ensemble": ensemble_command,
    "evaluate": evaluate_command,
    "calibrate": calibrate_command,
    "compare": compare_command,
    "learning-curve": learning_curve_command,
    "card": card_command,
    "explain": explain_command,
    "export": export_command,
    "examples": examples_command,
    "features": features_command,
    "score-maps": score_maps_command,
    "stress": stress_command,
    "submission": submission_command,
    "slide": slide_command,
    "doctor": doctor_command,
}
for name, command in COMMANDS.items():
    app.command(name)(command)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"sentinode {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Take labelled patches to a classifier that can be believed."""


def run() -> None:
    """Run the command line; a user's error is one line on standard error and exit code 2."""
    try:
        code = app(standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        message = _in_one_line(error)
        if message is None:
            raise
        _stop(f"error: {message}")
    if code == INTERRUPTED:
        _stop("interrupted; what was finished is kept, the same command goes on from it")
    sys.exit(code)


def _in_one_line(error: Exception) -> str | None:
    """Return the line for an error that is the user's or the machine's, None for a defect."""
    from sentinode.errors import SentinodeError

    if isinstance(error, SentinodeError):
        return " ".join(str(error).split())
    usage = getattr(error, "format_message", None)  # an option or argument that does not fit
    if callable(usage):
        return f"{usage()} (see --help)"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; free some room and give the same command again"
    return None


def _stop(message: str) -> NoReturn:
    print(f"sentinode: {message}", file=sys.stderr)
    sys.exit(EXIT_USER_ERROR)


if __name__ == "__main__":
    run()
