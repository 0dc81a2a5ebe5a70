"""The tables of a comparison, as text: the notebooks' two, and what they did not measure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, final

import pandas as pd

from sentinode.compare.differences import ALPHA
from sentinode.compare.result import Comparison, Difference, GroupRow, MeanOf
from sentinode.tables import Figure

__all__ = ["TextTable", "difference_table", "group_tables", "runs_frame"]

NONE = "–"
PUBLISHED = {
    "accuracy": "validation accuracy",
    "public": "public board",
    "private": "private board",
    "train_accuracy": "training accuracy",
    "auc": "validation AUC",
    "ms_per_step": "ms/step",
    "epoch_s": "longest epoch, s",
}


@final
@dataclass(frozen=True)
class TextTable:
    """A table of words.

    Attributes:
        title: What it is.
        said: What to know of it.
        columns: Their names.
        rows: As many cells each.
    """

    title: str
    said: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def group_tables(comparison: Comparison) -> tuple[TextTable, ...]:
    """Return the tables of the groups; columns of which nothing is known are left out."""
    groups = comparison.groups
    boards = dict.fromkeys(name for group in groups for name in group.boards)
    maps = dict.fromkeys(name for group in groups for name in group.maps)
    first: dict[str, Callable[[GroupRow], str]] = {
        "made of": lambda g: g.network,
        "validation accuracy": _mean("valid_accuracy"),
        **{f"{name} board": _board(name) for name in boards},
    }
    for key in ("accuracy", "public", "private"):
        first[f"published: {PUBLISHED[key]}"] = _published(key)
    second: dict[str, Callable[[GroupRow], str]] = {
        "patches": _mean("patches", 0),
        "longest epoch, s": _mean("longest_epoch_s", 0),
        "ms/step": _mean("ms_per_step", 0),
        "parameters": _mean("parameters", 0),
        "rate": lambda g: (
            f"{g.means['learning_rate'].mean:g}" if _has(g, "learning_rate") else NONE
        ),
        "training accuracy": _mean("train_accuracy"),
        "validation accuracy": _mean("valid_accuracy"),
        "validation AUC": _mean("valid_auc"),
    }
    for key in ("epoch_s", "ms_per_step", "train_accuracy", "accuracy", "auc"):
        second[f"published: {PUBLISHED[key]}"] = _published(key)
    third: dict[str, Callable[[GroupRow], str]] = {
        "runs": lambda g: f"{len(g.runs)}",
        "ROC AUC (interval)": lambda g: figure_said(g.auc),
        "SD over seeds": lambda g: NONE if g.auc_sd is None else f"{g.auc_sd:.3f}",
        "accuracy at 0.5": _mean("test_accuracy"),
        "ECE": _mean("ece_mass"),
        "slope": _mean("slope", 2),
        "patches/s, training": _mean("train_patches_per_s", 0),
        "patches/s, scoring": _mean("valid_patches_per_s", 0),
    }
    fourth = {name.rpartition(": ")[2].replace("_", " "): _map(name) for name in _one_kind(maps)}
    unit = comparison.unit
    kind = "that neither taught nor chose" if comparison.fold == "test" else "reported"
    return (
        _table(
            "As the first notebook tells it",
            "Validation accuracy is of patches that may share slides with those trained on; the "
            "leaderboards scored hard labels by ROC AUC.",
            groups,
            first,
        ),
        _table(
            "As the second notebook tells it",
            "A mean over seeds has its standard deviation behind ±. Times are of the machine that "
            "trained, and of whatever else it did.",
            groups,
            second,
        ),
        _table(
            "On the patches reported",
            f"{comparison.patches:,} patches {kind}. Intervals of "
            f"{comparison.confidence:.0%} resample {unit}, the same draws for all; ECE in bins of "
            "equal mass; the slope's ideal is 1.",
            groups,
            third,
        ),
        *([_table("What the maps show", _kind_said(maps), groups, fourth)] if maps else []),
    )


def _kind(name: str) -> str:
    return name.rpartition(": ")[0]


def _one_kind(names: Iterable[str]) -> list[str]:
    """Return the scores of the method and place that have most of them, the first where even."""
    found = list(names)
    kinds = Counter(map(_kind, found)).most_common(1)
    return [name for name in found if _kind(name) == kinds[0][0]]


def _kind_said(names: Iterable[str]) -> str:
    kind = _kind(_one_kind(names)[0])
    return f"Scores of the maps by {kind}; those of other methods and patches stand in runs.csv."


def _table(
    title: str, said: str, groups: Sequence[GroupRow], columns: dict[str, Callable[[GroupRow], str]]
) -> TextTable:
    cells = {name: [of(group) for group in groups] for name, of in columns.items()}
    known = {name: column for name, column in cells.items() if set(column) != {NONE}}
    rows = tuple(
        (group.name, *(column[i] for column in known.values())) for i, group in enumerate(groups)
    )
    return TextTable(title, said, ("group", *known), rows)


def _has(group: GroupRow, name: str) -> bool:
    return name in group.means


def _mean(name: str, digits: int = 3) -> Callable[[GroupRow], str]:
    return lambda group: mean_said(group.means.get(name), digits)


def _map(name: str) -> Callable[[GroupRow], str]:
    return lambda group: mean_said(group.maps.get(name), 3)


def _board(name: str) -> Callable[[GroupRow], str]:
    return lambda group: f"{group.boards[name]:.4f}" if name in group.boards else NONE


def _published(name: str) -> Callable[[GroupRow], str]:
    return lambda group: f"{group.published[name]:g}" if name in group.published else NONE


def mean_said(mean: MeanOf | None, digits: int) -> str:
    """Return a mean and its deviation in words."""
    if mean is None:
        return NONE
    value = f"{mean.mean:,.{digits}f}".replace("-", "−")
    return value if not mean.sd else f"{value} ±{mean.sd:,.{digits}f}"


def figure_said(figure: Figure) -> str:
    """Return a figure and its interval in words."""
    if figure.value is None:
        return NONE
    if figure.low is None or figure.high is None:
        return f"{figure.value:.3f}"
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def difference_table(comparison: Comparison) -> TextTable:
    """Return the differences in words."""
    rows = tuple(_difference(each) for each in comparison.differences)
    count = len(rows)
    level = 1 - ALPHA / max(1, count)
    said = (
        "Patches: paired DeLong for these very runs (over slides where they are known: the spread "
        "of the paired draws). Bootstrap: paired draws. Seeds: patches as cases and seeds as "
        "readers (Obuchowski and Rockette, 1995). Holm corrects for the number of comparisons. "
        f"Real: Holm over seeds below {ALPHA:g}. Negligible: the interval over patches and seeds, "
        f"of {100 * level:.4g} % for {count} comparisons, lies within ±{comparison.margin:g}. "
        f"These runs only: Holm over patches below {ALPHA:g}."
    )
    columns = (
        "first − second",
        "difference (interval)",
        "p patches",
        "Holm",
        "p bootstrap",
        "p seeds",
        "Holm, seeds",
        "SD over seeds",
        "verdict",
    )
    return TextTable("Differences of ROC AUC", said, columns, rows)


def _difference(each: Difference) -> tuple[str, ...]:
    interval = f"{each.value:+.3f} ({each.low:+.3f} to {each.high:+.3f})".replace("-", "−")
    spread = ", ".join(NONE if sd is None else f"{sd:.3f}" for sd in each.spread)
    return (
        f"{each.first} − {each.second}",
        interval,
        _p(each.p_patches),
        _p(each.holm_patches),
        _p(each.p_bootstrap),
        _p(each.p_seeds),
        _p(each.holm_seeds),
        spread,
        each.verdict,
    )


def _p(value: float | None) -> str:
    if value is None:
        return NONE
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def runs_frame(comparison: Comparison) -> pd.DataFrame:
    """Return one row per run with every figure."""
    rows: list[dict[str, Any]] = []
    for row in comparison.rows:
        auc = row.auc
        rows.append(
            {"name": row.name, "group": row.group, "seed": row.seed}
            | row.figures
            | {"test_auc": auc.value, "test_auc_low": auc.low, "test_auc_high": auc.high}
            | {f"board_{name}": value for name, value in row.boards.items()}
            | {f"map_{name}": value for name, value in row.maps.items()}
            | {f"published_{name}": value for name, value in row.published.items()}
        )
    return pd.DataFrame(rows)
