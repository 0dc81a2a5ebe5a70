"""`sentinode audit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sentinode.cli.options import ConfigFile, Overrides, config_of


def audit_command(
    folder: Annotated[Path, typer.Argument(metavar="SET", help="A packed set.")],
    exclude_ids: Annotated[
        Path | None, typer.Option(help="Text file of patch ids to leave out, one a line.")
    ] = None,
    verdicts: Annotated[
        Path | None,
        typer.Option(help="CSV of an expert's verdicts, as the page of `sentinode explain` saves."),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="OTHER_SET", help="Find what SET shares with this one instead."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="With --against: the CSV of the pairs; SET/shared-with-OTHER_SET.csv."),
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Mark patches to leave out, each with its reason, by id; nothing is deleted."""
    from sentinode.data import AUDIT_FILE, audit
    from sentinode.explore import write_audit_page
    from sentinode.tables import PackedSet

    settings = config_of(config, overrides).audit
    if exclude_ids is not None:
        settings = settings.model_copy(update={"exclude_ids": exclude_ids})
    if verdicts is not None:
        settings = settings.model_copy(update={"verdicts": verdicts})
    if against is not None:
        _against(folder, against, out)
        return
    if out is not None:
        raise typer.BadParameter("--out is the CSV of --against; an audit writes into SET")
    summary = audit(PackedSet.open(folder), settings)
    for finding in summary.findings:
        if finding.patches or finding.left_out:
            fate = "left out" if finding.left_out else "told of"
            typer.echo(f"  {finding.rule:21} {finding.patches:8,}  {fate:9} {finding.said}")
    counts = summary.labels
    labelled = max(counts["0"] + counts["1"], 1)
    typer.echo(
        f"usable: {summary.usable:,} of {summary.patches:,}; {counts['1']:,} tumour "
        f"({counts['1'] / labelled:.1%} of those with a label), {counts['0']:,} normal, "
        f"{counts['none']:,} without a label"
    )
    page = write_audit_page(PackedSet.open(folder), summary)
    typer.echo(f"pictures: {page}; details: {folder / AUDIT_FILE}; next: sentinode split {folder}")


def _against(folder: Path, against: Path, out: Path | None) -> None:
    from sentinode.data import compare_sets
    from sentinode.errors import InputError
    from sentinode.explore import write_pairs_page
    from sentinode.tables import PackedSet

    if out is not None and out.suffix.lower() != ".csv":  # the page stands beside it as .html
        raise InputError(f"--out expects a file name ending in .csv, got {out.name}")
    packed, other = PackedSet.open(folder), PackedSet.open(against)
    table = out or folder / f"shared-with-{against.resolve().name}.csv"
    pairs = compare_sets(packed, other, table)
    counts = pairs["kind"].value_counts()
    for kind, said in (
        ("exact", "the same pixels"),
        ("turned", "the same pixels, turned or flipped"),
        ("compressed", "the same tissue, compressed otherwise"),
    ):
        typer.echo(f"  {kind:11} {int(counts.get(kind, 0)):8,}  {said}")
    typer.echo(
        f"{pairs['row'].nunique():,} of the {len(packed.manifest):,} patches of {folder} stand in "
        f"{against} too"
    )
    page = table.with_suffix(".html")
    write_pairs_page(page, pairs, packed, other)
    typer.echo(f"pairs: {table}; pictures: {page}")
