"""`sentinode score-maps`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sentinode.cli.explain import BaselineName, LayerName, how_of
from sentinode.cli.options import RUN_HELP, ConfigFile, Overrides, config_of, folds_of

if TYPE_CHECKING:
    from sentinode.explain import MaskedPatches, Method, ScoredRun


def score_maps_command(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help=RUN_HELP)],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    patches: Annotated[
        Path | None,
        typer.Option("--patches", metavar="SET", help="Packed set to take tumour patches from."),
    ] = None,
    regions: Annotated[
        Path | None,
        typer.Option(help="Folder with images/ and masks/, or a cohort of phantoms: with truth."),
    ] = None,
    methods: Annotated[
        str, typer.Option(help="Methods of `sentinode explain`, as in gradcam,occlusion.")
    ] = "gradcam,occlusion,integrated-gradients",
    layer: LayerName = None,
    baseline: BaselineName = "mean",
    count: Annotated[int, typer.Option(min=2, help="Patches of each, at most.")] = 200,
    few: Annotated[
        int, typer.Option(min=2, help="Of them, those for stability and sanity, at most.")
    ] = 24,
    folds: Annotated[str | None, typer.Option(help="Folds of SET; test by default.")] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Score the maps of networks: focus, stability, faithfulness, agreement with masks."""
    from sentinode.core import folder_names
    from sentinode.errors import InputError

    wanted: list[Method] = [how_of(method=name.strip()).method for name in methods.split(",")]
    against = how_of(baseline=baseline).baseline
    settings, chosen = config_of(config, overrides), folds_of(folds)
    if patches is None and regions is None:
        raise InputError("nothing to score maps on; give --patches SET or --regions FOLDER")

    from sentinode.explain import cut_regions, score_run, tumour_patches, write_scores
    from sentinode.models import resolve_run
    from sentinode.types import RESEARCH_USE_ONLY

    opened = [resolve_run(run) for run in runs]
    names = folder_names([run.folder for run in opened])
    sizes = {run.spec.preprocess.size for run in opened}
    if len(sizes) > 1:
        raise InputError(f"the networks take patches of {sorted(sizes)} px; score them one by one")
    places: dict[str, MaskedPatches] = {}
    if regions is not None:
        places["regions"] = cut_regions(regions, sizes.pop()).mixed(count)
        if not len(places["regions"]):
            raise InputError(f"{regions}: no patch has tumour in its centre and normal tissue too")
    if patches is not None:
        places["set"] = tumour_patches(patches, opened, count, chosen)
    shape = {"methods": wanted, "count": count, "few": few, "baseline": against}
    scored: dict[str, list[ScoredRun]] = {}
    for place, found in places.items():
        for run, name in zip(opened, names, strict=True):
            made = score_run(
                run, found, wanted, settings, layer=layer, baseline=against, few=few, name=name
            )
            scored.setdefault(place, []).append(made)
            write_scores(out, scored, shape)  # what is finished is kept
    typer.echo((out / "map_scores.md").read_text(encoding="utf-8"), nl=False)
    typer.echo(f"tables: {out / 'map_scores.md'}, .csv, .json; by patch: map_scores_patches.csv")
    typer.echo(RESEARCH_USE_ONLY)
