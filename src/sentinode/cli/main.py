"""The program `sentinode`: its commands, and how their errors are said.

A command's module imports nothing heavy at its top, so that ``--help`` answers at once.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from sentinode import __version__
from sentinode.cli.settings import config_command, init_command

__all__ = ["app", "run"]

EXIT_USER_ERROR = 2

app = typer.Typer(
    name="sentinode",
    help="Find metastatic cancer in H&E-stained lymph-node tissue, from patches to a report. "
    "Research use only: not a medical device, not for diagnosis or patient management.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("init")(init_command)
app.command("config")(config_command)


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
    from sentinode.errors import SentinodeError

    try:
        app()
    except SentinodeError as error:
        message = " ".join(str(error).split())
        print(f"sentinode: error: {message}", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
    except KeyboardInterrupt:
        print(
            "sentinode: interrupted; what was finished is kept, the same command goes on from it",
            file=sys.stderr,
        )
        sys.exit(EXIT_USER_ERROR)


if __name__ == "__main__":
    run()
