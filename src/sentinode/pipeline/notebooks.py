"""The experiments of the two reference notebooks, on any packed set."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

import pandas as pd

from sentinode import __version__
from sentinode.compare import published_experiments
from sentinode.config import Config, SplitConfig, changed, load_config
from sentinode.core import (
    atomic_path,
    folder_lock,
    hash_json,
    read_json,
    unknown_name,
    write_json,
    write_text,
)
from sentinode.errors import InputError
from sentinode.tables import PackedSet, Report

__all__ = ["EXPERIMENTS", "Experiment", "reproduce"]

RESULT = "result.json"


@final
@dataclass(frozen=True)
class Experiment:
    """One experiment.

    Attributes:
        name: Of the configuration that comes with the package.
        notebook: Whose it is.
        said: What was changed.
        published: Figures that the notebook gives, empty for what it only wished for.
    """

    name: str
    notebook: Literal[1, 2]
    said: str
    published: dict[str, float]


def _of(name: str, notebook: Literal[1, 2], said: str) -> Experiment:
    figures = published_experiments().get(name, {})
    return Experiment(name, notebook, said, {f"published_{k}": v for k, v in figures.items()})


EXPERIMENTS = (
    _of("first-colour", 1, "colour baseline"),
    _of("first-gray", 1, "gray baseline"),
    _of("first-gray-kernel-5", 1, "last convolution 5×5"),
    _of("first-gray-256", 1, "a further block of 256"),
    _of("first-gray-no-128", 1, "without the block of 128"),
    _of("first-gray-no-dense", 1, "without dense 64"),
    _of("first-gray-dropout-30", 1, "dropout 0.3"),
    _of("first-gray-whole-set", 1, "whole set"),
    _of("second-large", 2, "32, 64, dense 60 and 30"),
    _of("second-small", 2, "32, dense 30"),
    _of("second-small-slow", 2, "32, dense 30, a tenth of the rate"),
    _of("second-large-slow", 2, "wished for: large, a tenth of the rate"),
    _of("second-small-longer", 2, "wished for: small, a tenth of the rate, longer"),
)


def reproduce(
    packed: PackedSet,
    out: Path,
    *,
    scale: float = 1.0,
    epochs: int | None = None,
    seeds: int = 1,
    names: Sequence[str] | None = None,
    overrides: Sequence[str] = (),
    say: Callable[[str], None] = print,
) -> tuple[Path, ...]:
    """Run the notebooks' experiments and write their two tables.

    Each seed of each experiment has its own folder below ``out``, with its split, run,
    predictions and report; one that is finished is kept, one that was interrupted goes on.
    As many patches choose as the notebooks', of other slides where slides are known; the fold
    ``test``, which they had not, is scored beside. All experiments of a seed come before those of
    the next.

    Args:
        packed: The set.
        out: Folder of everything that is written.
        scale: Share of the notebooks' patches that is trained on, above 0 and at most 1.
        epochs: Largest number of epochs; the notebooks' own where None.
        seeds: How often each experiment is run: with the configuration's seeds, then with each
            one higher, of the training patches drawn as of the training; the folds stay.
        names: Experiments to run; all where None.
        overrides: As of `load_config`, over each experiment's configuration.
        say: Called with one line for each step, and told of a set that was not audited.

    Returns:
        The tables that were written, CSV and Markdown of each notebook.

    Raises:
        InputError: An unknown name, or a scale or number of epochs or seeds outside the range.
    """
    if not 0 < scale <= 1:
        raise InputError(f"scale is above 0 and at most 1, got {scale}")
    if epochs is not None and epochs < 1:
        raise InputError(f"epochs are at least 1, got {epochs}")
    if seeds < 1:
        raise InputError(f"seeds is how often each experiment is run, at least 1, got {seeds}")
    known = {experiment.name: experiment for experiment in EXPERIMENTS}
    for name in names or ():
        if name not in known:
            raise InputError(unknown_name("experiment", name, known))
    from sentinode.data import AUDIT_FILE

    if not (packed.folder / AUDIT_FILE).is_file():
        say(
            f"{packed.folder} was not audited, so that bad patches, which the notebooks dropped, "
            f"stay in; sentinode audit {packed.folder} leaves them out"
        )
    jobs = [(known[name], later) for later in range(seeds) for name in names or known]
    with folder_lock(out):
        for number, (experiment, later) in enumerate(jobs, 1):
            config = _reseeded(_scaled(experiment, packed, scale, epochs, overrides), later)
            seed = config.train.seed
            say(f"{number} of {len(jobs)}: {experiment.name}, {experiment.said}, seed {seed}")
            _run(experiment, packed, config, out / experiment.name / f"seed-{seed}")
        return _write_tables(out)


def _reseeded(config: Config, later: int) -> Config:
    """Return the configuration with the seeds of the training and its patches moved on.

    The folds stay, so that all seeds are scored on the same patches.
    """
    drawn = config.model_copy(update={"split": config.split.drawn_again(later)})
    return changed(drawn, {"train.seed": config.train.seed + later})


def _scaled(
    experiment: Experiment,
    packed: PackedSet,
    scale: float,
    epochs: int | None,
    overrides: Sequence[str],
) -> Config:
    config = load_config(Path(experiment.name), overrides)
    if epochs is not None:
        fewer = min(epochs, config.train.epochs)
        config = config.model_copy(
            update={"train": config.train.model_copy(update={"epochs": fewer})}
        )
    if scale == 1:
        return config
    split = config.split
    if split.balance is not None:
        changed = {"balance": math.ceil(split.balance * scale)}
    else:
        changed = {"limit": math.ceil((split.limit or _training_patches(packed, split)) * scale)}
    return config.model_copy(update={"split": split.model_copy(update=changed)})


def _training_patches(packed: PackedSet, split: SplitConfig) -> int:
    from sentinode.data import propose

    return sum(len(unit) for unit in propose(packed, split).units["train"].values())


def _run(experiment: Experiment, packed: PackedSet, config: Config, out: Path) -> None:
    """Train, predict and score, unless ``result.json`` says that it was done."""
    from sentinode.data import propose
    from sentinode.evaluate import evaluate, write_report
    from sentinode.models import descriptive_name, summarise
    from sentinode.predict import predict_set
    from sentinode.train import train

    split = propose(packed, config.split)
    run = train(packed, split, config, out / "run")
    made_from = hash_json(
        {
            "run": run.record.fingerprint,
            "config": [config.predict.fingerprint(), config.evaluate.settings()],
            "sentinode": __version__,
        }
    )
    if (out / RESULT).is_file() and read_json(out / RESULT)["made_from"] == made_from:
        return
    predictions = predict_set(run, packed, config, ["valid", "test"], split)
    predictions.write(out / "predictions.parquet")
    split.write(out / "split.json")
    report = evaluate(
        predictions, config.evaluate, packed=packed, split=split, run_folder=run.folder
    )
    write_report(report, out / "report", packed=packed)
    timing, history = run.record.timing, run.history()
    kept = history.iloc[(run.record.best_epoch or 1) - 1]
    longest = max(epoch["train_s"] + epoch["valid_s"] for epoch in timing["epochs"])
    figures = {
        "notebook": experiment.notebook,
        "experiment": experiment.name,
        "description": experiment.said,
        "seed": config.train.seed,
        "network": descriptive_name(run.spec, config.train.optimizer),
        "parameters": summarise(run.spec).parameters,
        "learning_rate": config.train.learning_rate,
        "patches": sum(len(unit) for unit in split.units["train"].values()),
        "epochs": len(history),
        "kept_epoch": run.record.best_epoch,
        "spikes": len(run.facts().spikes),
        "gap": run.facts().gap,
        "longest_epoch_s": longest,
        "ms_per_step": 1000 * config.train.batch_size / timing["train_patches_per_s"],
        "train_accuracy": kept["accuracy"],
        "valid_accuracy": kept["valid_accuracy"],
        "valid_auc": kept["valid_auc"],
        **_elsewhere(report),
        **experiment.published,
    }
    write_json(out / RESULT, {"made_from": made_from, "figures": figures})


def _elsewhere(report: Report) -> dict[str, Any]:
    auc, accuracy = report.overall["roc_auc"], report.at["half"].figures["accuracy"]
    return {
        "test_patches": report.rows.reported,
        "test_accuracy": accuracy.value,
        "test_auc": auc.value,
        "test_auc_low": auc.low,
        "test_auc_high": auc.high,
    }


def _write_tables(out: Path) -> tuple[Path, ...]:
    """Write the tables of all experiments that are finished, run now or before."""
    written = []
    files = [
        file
        for experiment in EXPERIMENTS
        for file in sorted((out / experiment.name).glob(f"seed-*/{RESULT}"), key=_seed_of)
    ]
    everything = pd.DataFrame([read_json(file)["figures"] for file in files])
    for notebook, title in ((1, "first"), (2, "second")):
        table = everything[everything["notebook"] == notebook]
        if table.empty:
            continue
        table = table.drop(columns="notebook").dropna(axis="columns", how="all")
        with atomic_path(out / f"{title}.csv") as temporary:
            table.to_csv(temporary, index=False, lineterminator="\n")
        write_text(out / f"{title}.md", _markdown(table, title))
        written += [out / f"{title}.csv", out / f"{title}.md"]
    return tuple(written)


def _seed_of(file: Path) -> int:
    return int(file.parent.name.removeprefix("seed-"))


COLUMNS = {
    "description": "experiment",
    "seed": "seed",
    "parameters": "parameters",
    "learning_rate": "rate",
    "patches": "patches",
    "epochs": "epochs",
    "spikes": "spikes",
    "gap": "gap",
    "ms_per_step": "ms/step",
    "train_accuracy": "training accuracy",
    "valid_accuracy": "validation accuracy",
    "valid_auc": "validation AUC",
    "test_accuracy": "test accuracy",
    "test_auc": "test AUC (95 %)",
    "published_ms_per_step": "published ms/step",
    "published_train_accuracy": "published training accuracy",
    "published_accuracy": "published accuracy",
    "published_auc": "published AUC",
    "published_public": "published public board",
    "published_private": "published private board",
}


def _markdown(table: pd.DataFrame, title: str) -> str:
    columns = {key: said for key, said in COLUMNS.items() if key in table}
    lines = [
        f"The {title} notebook's experiments. {CHOSEN[title]}; test is the fold that "
        "neither trained nor chose. Spikes are epochs whose validation loss is a quarter above the "
        "epoch before's; the gap is validation loss less training loss at the epoch that was kept.",
        "",
        "| " + " | ".join(columns.values()) + " |",
        "|" + "---|" * len(columns),
    ]
    for row in table.to_dict("records"):
        lines.append("| " + " | ".join(_cell(row, key) for key in columns) + " |")
    return "\n".join([*lines, *_over_seeds(table)]) + "\n"


CHOSEN = {
    "first": "Validation chose the epoch",
    "second": "The weights of the last epoch are kept",
}
SEEDS_SHOWN = ("train_accuracy", "valid_accuracy", "valid_auc", "test_accuracy", "test_auc")


def _over_seeds(table: pd.DataFrame) -> list[str]:
    """Return the table of means and standard deviations, nothing where each ran once."""
    groups = table.groupby("description", sort=False)
    if groups.size().max() < 2:
        return []
    columns = [key for key in SEEDS_SHOWN if key in table]
    said = [COLUMNS[key].removesuffix(" (95 %)") for key in columns]
    lines = [
        "",
        "Mean ± standard deviation over the seeds:",
        "",
        "| " + " | ".join(["experiment", "seeds", *said]) + " |",
        "|" + "---|" * (len(columns) + 2),
    ]
    for name, rows in groups:
        means, spreads = rows[columns].mean(), rows[columns].std()
        cells = [
            f"{means[key]:.3f}" + ("" if len(rows) < 2 else f" ± {spreads[key]:.3f}")
            for key in columns
        ]
        lines.append("| " + " | ".join([str(name), str(len(rows)), *cells]) + " |")
    return lines


def _cell(row: dict[Any, Any], key: str) -> str:
    value = row[key]
    if isinstance(value, str) or key == "seed":
        return str(value)
    if value is None or math.isnan(value):
        return "–"
    low = row.get("test_auc_low", math.nan)
    if key == "test_auc" and not math.isnan(low):
        return f"{value:.3f} ({low:.3f}–{row['test_auc_high']:.3f})"
    if key in ("parameters", "patches", "epochs", "spikes") or key.endswith("ms_per_step"):
        return f"{value:,.0f}"
    return {"learning_rate": f"{value:g}"}.get(key, f"{value:.3f}")
