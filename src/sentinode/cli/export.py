"""`sentinode export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from sentinode.cli.options import RUN_HELP as RUN
from sentinode.cli.options import ConfigFile, Overrides, config_of

if TYPE_CHECKING:
    from sentinode.predict import ExportFormat, ExportPrecision
    from sentinode.tables import PackedSet


def export_command(
    run: Annotated[str, typer.Argument(help=RUN)],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the exports; by default exports/ in RUN, for predict."),
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format", help="onnx, openvino, torchscript, wsinfer; repeated or with commas."
        ),
    ] = None,
    precisions: Annotated[
        list[str] | None,
        typer.Option("--precision", help="float32, bfloat16, int8; repeated or with commas."),
    ] = None,
    check_set: Annotated[
        Path | None,
        typer.Option(help="Packed set whose labelled patches outside fold train check it."),
    ] = None,
    calibration_set: Annotated[
        Path | None, typer.Option(help="Packed set whose fold train gives int8 its ranges.")
    ] = None,
    force: Annotated[
        bool, typer.Option(help="Keep an export that did not pass its check, or had none.")
    ] = False,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Export a run to ONNX, OpenVINO, TorchScript or a WSInfer folder, checked on patches.

    Of --check-set and --calibration-set one is enough.
    """
    from sentinode.errors import InputError
    from sentinode.export import PRECISIONS, export_run, plans

    settings = config_of(config, overrides).export
    known = tuple(dict.fromkeys(p for each in PRECISIONS.values() for p in each))
    wanted = plans(
        cast("list[ExportFormat]", _named(formats or ["openvino"], "format", tuple(PRECISIONS))),
        cast("list[ExportPrecision]", _named(precisions or ["float32"], "precision", known)),
    )

    from sentinode.models import resolve_run
    from sentinode.types import RESEARCH_USE_ONLY

    done = export_run(
        resolve_run(run),
        wanted,
        settings,
        out=out,
        check_set=_opened(check_set),
        calibration_set=_opened(calibration_set),
        force=force,
        say=typer.echo,
    )
    for export in done.exports:
        typer.echo(f"wrote {export.folder}")
    typer.echo(RESEARCH_USE_ONLY)
    if done.refused:
        said = "; ".join(f"{title}: {why}" for title, why in done.refused.items())
        raise InputError(f"not written: {said}; --force writes it all the same")


def _named(values: list[str], what: str, known: tuple[str, ...]) -> list[str]:
    from sentinode.core import unknown_name
    from sentinode.errors import InputError

    names = [name.strip() for value in values for name in value.split(",")]
    for name in names:
        if name not in known:
            raise InputError(unknown_name(what, name, known))
    return names


def _opened(folder: Path | None) -> PackedSet | None:
    from sentinode.tables import PackedSet

    return None if folder is None else PackedSet.open(folder)
