"""`sentinode slide`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sentinode.cli.options import RUN_HELP, ConfigFile, Overrides, config_of

if TYPE_CHECKING:
    from sentinode.slide import Cohort


def slide_command(
    run: Annotated[str, typer.Argument(help=RUN_HELP)],
    slides: Annotated[
        list[Path], typer.Argument(metavar="SLIDE...", help="Slides, or folders of slides.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to write; each slide gets one of its own.")],
    mpp: Annotated[
        float | None,
        typer.Option(help="µm/px of the finest level of slides that do not say it themselves."),
    ] = None,
    stride: Annotated[
        int | None, typer.Option(help="Pixels between positions; short for --set slide.stride=.")
    ] = None,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Do the Ith of N equal parts, as in 3/8.")
    ] = None,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes on this machine, by Dask; 0 takes none.")
    ] = 0,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Dask scheduler whose workers do it.")
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Map the probability of tumour over whole slides, with files for QuPath."""
    from sentinode.errors import InputError

    if workers and scheduler:
        raise InputError("--workers and --scheduler exclude each other; take one")
    short = [] if stride is None else [f"slide.stride={stride}"]
    settings = config_of(config, [*(overrides or []), *short]).slide

    from sentinode.core import keep_freed_memory
    from sentinode.slide import Job, analyse_cohort, shard_of

    keep_freed_memory()
    part = (1, 1) if shard is None else shard_of(shard)
    job = Job(run, out, mpp, settings)
    cohort = analyse_cohort(
        job,
        slides,
        shard=part,
        workers=workers,
        scheduler=scheduler,
        said=lambda line: typer.echo(line, err=True),
    )
    _say(cohort)
    if cohort.exit_code:
        raise typer.Exit(cohort.exit_code)


def _say(cohort: Cohort) -> None:
    from sentinode.types import RESEARCH_USE_ONLY

    outcomes = cohort.outcomes
    wide = max((len(one.slide) for one in outcomes), default=5)
    typer.echo(f"{'slide':<{wide}}  status     score  tissue mm2  tumour mm2  focus mm  class")
    for one in outcomes:
        s = one.summary
        figures = (
            f"{s.score:6.3f}  {s.tissue_area_mm2:10.2f}  {s.tumour_area_mm2:10.3f}  "
            f"{s.largest_focus_mm:8.2f}  {s.size_class}"
            if s
            else f"  {one.reason}"
        )
        typer.echo(f"{one.slide:<{wide}}  {one.status:<9}{figures}")
    counts = [(k, sum(one.status == k for one in outcomes)) for k in ("done", "kept", "no tissue")]
    words = ", ".join(f"{n:,} {k}" for k, n in [*counts, ("failed", cohort.failed)] if n)
    typer.echo(f"{len(outcomes):,} slides: {words}; {cohort.table}")
    typer.echo("Foci and their classes are a research output, by size on the map alone.")
    typer.echo(RESEARCH_USE_ONLY)
