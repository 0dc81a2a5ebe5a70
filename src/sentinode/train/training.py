"""From a packed set and its split to a finished run folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import torch

from sentinode.config import Config, ModelConfig, resolved_toml
from sentinode.core import (
    folder_lock,
    hash_file,
    large_memory_kept,
    provenance,
    write_text,
)
from sentinode.errors import InputError, TrainingError
from sentinode.models import (
    CONFIG_FILE,
    ENCODER,
    HISTORY_FILE,
    RECORD_FILE,
    SPEC_FILE,
    WEIGHTS_FILE,
    ModelSpec,
    Run,
    RunRecord,
    deterministic,
    save_checkpoint,
)
from sentinode.tables import HISTORY_COLUMNS, PackedSet, Split, write_history
from sentinode.train.folder import STATE_FOLDER, make_way
from sentinode.train.loop import fit
from sentinode.train.plan import Plan, make_plan
from sentinode.train.ranks import Ranks
from sentinode.train.state import TrainState
from sentinode.train.stored import StateError, remove_state
from sentinode.train.teaching import behind

__all__ = ["CONFIG_FILE", "train"]

SECTIONS = ("model", "train", "augment")


def train(
    packed: PackedSet,
    split: Split,
    config: Config,
    out: Path,
    *,
    spec: ModelSpec | None = None,
    force: bool = False,
    after_epoch: Callable[[Mapping[str, float]], None] = lambda row: None,
) -> Run:
    """Train a network on the split's training patches; the validation patches choose the epoch.

    Started again after any interruption it goes on with the epoch that was cut short and ends
    in the same bytes; a run that is finished is kept as it is.

    Args:
        packed: The set.
        split: Of this set.
        config: Its ``model``, ``train`` and ``augment`` sections are used.
        out: Run folder.
        spec: The network where it is not one known by name.
        force: Start over, whatever run is there; what was begun by the same call goes on.
        after_epoch: Called with the history's row of each epoch once it is stored, first with
            those of a training that goes on; what it raises ends the training, which can go on
            from there.

    Raises:
        InputError: Set, split and network do not fit together, or ``out`` holds another run, or
            one that is needed.
        TrainingError: A fold cannot teach or choose, training diverged, or memory ran out.
        CheckpointError: What is in ``out`` is damaged.
        DiskFullError: The disk is full; finished epochs are kept.
        BusyError: Another process writes to ``out``.

    Started by torchrun or SLURM the processes train together, each with its share of every batch;
    the first one writes ``out`` and all return the run.
    """
    plan = make_plan(packed, split, config, spec)
    for run in (*filter(None, [plan.start]), *plan.teachers):
        if run.folder.resolve() == out.resolve():
            raise InputError(f"{out} is a run to start or to learn from; choose another --out")
    ranks = Ranks.launch(plan.compute, plan.spec)
    if plan.settings.batch_size < ranks.count:
        raise TrainingError(
            f"a batch of {plan.settings.batch_size} cannot be dealt to {ranks.count} processes; "
            "take a larger train.batch_size"
        )
    with ExitStack() as held:
        ranks.agreed(lambda: _take_folder(held, out, plan, force))
        found = ranks.agreed(lambda: _finished(out))
        if found is not None:
            return found
        gpus = [torch.cuda.current_device()] if plan.compute.device == "cuda" else []
        with torch.random.fork_rng(gpus), deterministic(plan.compute), large_memory_kept():
            try:
                state = _fit(packed, plan, out / STATE_FOLDER, ranks, after_epoch, force)
            except RuntimeError as error:
                plainly = _without_exact_form(error) or ranks.said_plainly(error)
                if plainly is error:
                    raise
                raise plainly from error
        return ranks.agreed(lambda: _finish(out, plan, config, state))


def _fit(
    packed: PackedSet,
    plan: Plan,
    folder: Path,
    ranks: Ranks,
    after_epoch: Callable[[Mapping[str, float]], None],
    force: bool,
) -> TrainState:
    """Train; where forced, a state that cannot be gone on from is put away."""
    try:
        return fit(packed, plan, folder, ranks, after_epoch)
    except StateError:
        if not force:
            raise
    ranks.agreed(lambda: remove_state(folder))
    return fit(packed, plan, folder, ranks, after_epoch)


def _without_exact_form(error: RuntimeError) -> TrainingError | None:
    """Return what to say of an operation that a GPU does not compute alike twice."""
    if "deterministic implementation" not in str(error):
        return None
    return TrainingError(
        f"a resumed training would not end alike: {str(error).split()[0]} has no deterministic "
        "form on this device; take --set train.device=cpu, or an encoder at the side it was "
        "trained with (model.input_size=none)"
    )


def _take_folder(held: ExitStack, out: Path, plan: Plan, force: bool) -> None:
    held.enter_context(folder_lock(out))
    make_way(out, plan.made_from, force)


def _finished(out: Path) -> Run | None:
    return Run.open(out) if (out / RECORD_FILE).is_file() else None


def _finish(out: Path, plan: Plan, config: Config, state: TrainState) -> Run:
    _write(out, plan, config, state)
    state.remove()
    return Run.open(out)


def _write(out: Path, plan: Plan, config: Config, state: TrainState) -> None:
    save_checkpoint(out, plan.spec, state.kept)
    write_history(out / HISTORY_FILE, pd.DataFrame(state.history, columns=list(HISTORY_COLUMNS)))
    model = config.model
    if model.name != ENCODER:
        model = ModelConfig(name=plan.spec.name)
    # Where the history was told besides is no part of what made the weights.
    quiet = config.train.model_copy(update={"log": (), "mlflow_uri": ""})
    settings = config.model_copy(update={"model": model, "train": quiet})
    write_text(out / CONFIG_FILE, resolved_toml(settings, SECTIONS))
    RunRecord(
        fingerprint=plan.fingerprint,
        provenance=provenance("train", **plan.made_from, seeds={"train": plan.settings.seed}),
        compute=state.compute,
        best_epoch=state.kept_epoch,
        stopped="epochs" if state.epoch >= plan.settings.epochs else "patience",
        patches={"train": len(plan.training), "valid": len(plan.validation)},
        metrics={name: float(value) for name, value in state.history[state.kept_epoch - 1].items()},
        files={
            name: hash_file(out / name)
            for name in (SPEC_FILE, WEIGHTS_FILE, HISTORY_FILE, CONFIG_FILE)
        },
        timing=_timing(plan, state),
        behind=behind((*filter(None, [plan.start]), *plan.teachers), plan.made_from["inputs"]),
    ).write(out)


def _timing(plan: Plan, state: TrainState) -> dict[str, Any]:
    training = [epoch["train_s"] for epoch in state.timing]
    validation = [epoch["valid_s"] for epoch in state.timing]
    steady = slice(1, None) if len(training) > 1 else slice(None)  # the first one warms up
    asked = {"teachers_s": state.asked_s} if state.asked_s else {}
    return asked | {
        "epochs": state.timing,
        "seconds": state.asked_s + sum(training) + sum(validation),
        "first_epoch_s": training[0],
        "train_patches_per_s": len(plan.training) / median(training[steady]),
        "valid_patches_per_s": len(plan.validation) / median(validation[steady]),
    }
