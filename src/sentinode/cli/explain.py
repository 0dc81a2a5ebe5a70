"""`sentinode explain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sentinode.cli.options import RUN_HELP, ConfigFile, Overrides, config_of, folds_of

if TYPE_CHECKING:
    from sentinode.explain import How, Pick

MethodName = Annotated[
    str,
    typer.Option(
        "--method",
        help="gradcam, gradcam++, xgradcam, hirescam, layercam, occlusion or integrated-gradients.",
    ),
]
LayerName = Annotated[
    str | None,
    typer.Option("--layer", help="Layer to draw from, as `sentinode model RUN` names them."),
]
DirectionName = Annotated[str, typer.Option("--direction", help="tumour or normal.")]
BaselineName = Annotated[
    str,
    typer.Option(
        "--baseline",
        help="What nothing looks like to occlusion and integrated-gradients: mean (of the patch), "
        "white or blur.",
    ),
]
OpacityValue = Annotated[float, typer.Option("--opacity", help="Of the overlay, 0 to 1.")]
PercentileValue = Annotated[
    float, typer.Option("--percentile", help="Of a map's positive values, drawn reddest.")
]
ThresholdValue = Annotated[
    float, typer.Option("--threshold", help="A patch at or above it is called tumour.")
]
PickNames = Annotated[
    str,
    typer.Option("--pick", help="Any of certain,uncertain,wrong,diverse, --count of each."),
]
ExamplesName = Annotated[
    str | None,
    typer.Option(
        "--examples",
        help="File with one patch id a line, or a list that comes with the package, as in "
        "first-notebook.",
    ),
]


def explain_command(
    run: Annotated[str, typer.Argument(help=RUN_HELP)],
    patches: Annotated[
        Path,
        typer.Argument(metavar="INPUT", help="A packed set, a folder of images, or one image."),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    method: MethodName = "gradcam",
    layer: LayerName = None,
    direction: DirectionName = "tumour",
    baseline: BaselineName = "mean",
    opacity: OpacityValue = 0.45,
    percentile: PercentileValue = 99.0,
    threshold: ThresholdValue = 0.5,
    pick: PickNames = "certain,uncertain,wrong,diverse",
    count: Annotated[int, typer.Option(min=1, help="Patches of each --pick.")] = 12,
    examples: ExamplesName = None,
    folds: Annotated[str | None, typer.Option(help="Folds to pick from, as in test.")] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="What the run predicted for INPUT, to save the time.")
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Show what a network looked at: a map for each of some patches, on one page."""
    how = how_of(
        method=method,
        layer=layer,
        direction=direction,
        baseline=baseline,
        opacity=opacity,
        percentile=percentile,
        threshold=threshold,
    )
    settings, chosen = config_of(config, overrides), folds_of(folds)

    from sentinode.explain import PAGE, explain
    from sentinode.models import resolve_run
    from sentinode.types import RESEARCH_USE_ONLY

    explained = explain(
        resolve_run(run),
        patches,
        settings,
        out,
        how,
        picks=picks_of(pick),
        count=count,
        examples=examples,
        folds=chosen,
        predictions=predictions,
    )
    typer.echo(explained.said)
    counts = explained.table["outcome"].value_counts()
    typer.echo(f"{len(explained.table)} patches, {explained.chosen}")
    typer.echo(", ".join(f"{name} {number}" for name, number in sorted(counts.items())))
    typer.echo(f"page: {out / PAGE}; a picture for each patch in {out / 'panels'}")
    typer.echo(RESEARCH_USE_ONLY)


def how_of(**values: Any) -> How:
    """Return the settings of maps, their names checked."""
    from sentinode.core import unknown_name
    from sentinode.errors import InputError
    from sentinode.explain import METHODS, How

    for kind, known in (
        ("method", METHODS),
        ("direction", ("tumour", "normal")),
        ("baseline", ("mean", "white", "blur")),
    ):
        if kind in values and values[kind] not in known:
            raise InputError(unknown_name(kind, values[kind], known))
    how = How(**values)
    how.check()
    return how


def picks_of(text: str) -> list[Pick]:
    """Return the picks named, as in ``wrong,diverse``."""
    from sentinode.core import unknown_name
    from sentinode.errors import InputError
    from sentinode.explain import PICKS

    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in PICKS:
            raise InputError(unknown_name("pick", name, PICKS))
    return [pick for pick in PICKS if pick in names]
