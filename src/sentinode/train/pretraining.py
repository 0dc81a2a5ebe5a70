"""From a packed set to a run that a training starts from, without a look at any label."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sentinode.config import Config, ModelConfig, resolved_toml
from sentinode.core import (
    Progress,
    folder_lock,
    hash_file,
    hash_json,
    large_memory_kept,
    provenance,
    write_text,
)
from sentinode.data.loader import batches, epoch_order, resident, to_input
from sentinode.errors import InputError, TrainingError
from sentinode.models import (
    CONFIG_FILE,
    RECORD_FILE,
    SPEC_FILE,
    WEIGHTS_FILE,
    ModelSpec,
    Run,
    RunRecord,
    choose_compute,
    deterministic,
    out_of_memory,
    save_checkpoint,
    spec_for,
    state_of,
)
from sentinode.models.nodenet import BUILDER
from sentinode.tables import PackedSet, Split
from sentinode.train.augment import augmented
from sentinode.train.contrast import told_apart
from sentinode.train.folder import STATE_FOLDER, make_way
from sentinode.train.plan import at_scale
from sentinode.train.pretrain_state import PretrainPlan, PretrainState, diverged
from sentinode.train.stored import StateError, remove_state
from sentinode.types import PRETRAINED

__all__ = ["pretrain"]

SECTIONS = ("model", "pretrain", "augment")


def pretrain(
    packed: PackedSet,
    split: Split,
    config: Config,
    out: Path,
    *,
    spec: ModelSpec | None = None,
    force: bool = False,
    after_epoch: Callable[[Mapping[str, float]], None] = lambda row: None,
) -> Run:
    """Teach a network to tell patches apart, from patches alone.

    What comes of it is a run to start from, ``train.start``; its last layer is as it was drawn.
    Started again after any interruption it goes on where it was stored last, at the end of an
    epoch or within a long one, and ends in the same bytes; a run that is finished is kept as it is.

    Args:
        packed: The set.
        split: Of this set.
        config: Its ``model``, ``pretrain`` and ``augment`` sections are used; nothing is mixed.
        out: Run folder.
        spec: The network where it is not one known by name.
        force: Start over, whatever run is there; what was begun by the same call goes on.
        after_epoch: Called with what each epoch came to, ``loss``, ``found`` and ``seconds``,
            once it is stored; what it raises ends the pretraining, which can go on from there.

    Raises:
        InputError: Set, split and network do not fit together, the network is no nodenet,
            ``out`` holds another run, or no change tells two pictures of a patch apart.
        TrainingError: There are fewer patches than a batch takes, training diverged, or memory
            ran out.
        CheckpointError: What is in ``out`` is damaged.
        DiskFullError: The disk is full; what was stored before is kept.
        BusyError: Another process writes to ``out``.
    """
    plan = _planned(packed, split, config, spec)
    with folder_lock(out):
        make_way(out, plan.made_from, force)
        if (out / RECORD_FILE).is_file():
            return Run.open(out)
        with deterministic(plan.compute), large_memory_kept(), _fitting(plan.settings.batch_size):
            state = _begun(out / STATE_FOLDER, plan, force)
            _epochs(state, packed, plan, after_epoch)
        _write(out, plan, state, config)
        remove_state(out / STATE_FOLDER)
    return Run.open(out)


def _begun(folder: Path, plan: PretrainPlan, force: bool) -> PretrainState:
    """Take up what is stored; where forced, what cannot be gone on from is put away."""
    try:
        return PretrainState(folder, plan)
    except StateError:
        if not force:
            raise
    remove_state(folder)
    return PretrainState(folder, plan)


def _planned(
    packed: PackedSet, split: Split, config: Config, spec: ModelSpec | None
) -> PretrainPlan:
    split.check_belongs(packed.manifest.hash, packed.folder / "split.json")
    settings, augment = config.pretrain, config.augment.model_copy(update={"mixup": 0.0})
    if not augment.changes_pixels:
        raise InputError(
            "two pictures of a patch would be the same, since augment changes nothing; take "
            "--config nodenet-base-pretrain, or set keys of augment"
        )
    spec = at_scale(spec or spec_for(config.model), packed)
    if spec.builder != BUILDER:
        raise InputError(
            f"{spec.name} is not pretrained, a nodenet is; take --config nodenet-base-pretrain, or "
            "--set model.name=nodenet-small"
        )
    taught = split.folds_of(packed.manifest.frame["id"]).isin(["train"]).to_numpy(bool)
    rows = np.flatnonzero(packed.manifest.usable & taught).astype(np.int64)
    if len(rows) < settings.batch_size:
        raise TrainingError(
            f"fold train has {len(rows):,} patches, fewer than a batch of {settings.batch_size}; "
            "take a smaller pretrain.batch_size (2 at least), or split the set again"
        )
    return PretrainPlan(
        spec=spec,
        settings=settings,
        augment=augment,
        compute=choose_compute(settings.device, settings.precision, settings.threads),
        rows=rows,
        made_from={
            "config": {
                "model": spec.model_dump(mode="json"),
                "pretrain": settings.fingerprint(),
                "augment": augment.fingerprint(),
            },
            "inputs": {
                "set": packed.meta.content_hash,
                "manifest": packed.manifest.hash,
                "split": split.hash,
            },
        },
    )


def _epochs(
    state: PretrainState,
    packed: PackedSet,
    plan: PretrainPlan,
    after_epoch: Callable[[Mapping[str, float]], None],
) -> None:
    """Pretrain epoch after epoch from wherever it was left."""
    epochs, size, done = plan.settings.epochs, plan.settings.batch_size, state.steps
    images = resident(packed.images, torch.device(plan.compute.device))
    each = plan.steps * size
    with Progress("pretrain", epochs * each, done=done * size) as progress:
        if done:
            how = ", in another precision or with other threads" if state.computed_elsewhere else ""
            progress.say(f"going on after {done:,} of {epochs * plan.steps:,} steps{how}")
        for row in state.history:
            after_epoch(row)
        for epoch in range(len(state.history) + 1, epochs + 1):
            start = time.perf_counter() - state.seconds
            _epoch(state, images, plan, start, progress)
            row = state.end_epoch(time.perf_counter() - start)
            progress.say(
                f"epoch {epoch} of {epochs}: loss {row['loss']:.4f}, the other picture found for "
                f"{row['found']:.1%}; {each / row['seconds']:.0f} patches/s"
            )
            after_epoch(row)


def _epoch(
    state: PretrainState,
    images: NDArray[Any] | Tensor,
    plan: PretrainPlan,
    start: float,
    progress: Progress,
) -> None:
    """Go once over the patches, from the step where it was cut short.

    ``start`` is when it began, as ``perf_counter`` tells the time.
    """
    epoch, size, seed = len(state.history) + 1, plan.settings.batch_size, plan.settings.seed
    order = epoch_order(len(plan.rows), seed, epoch)[len(state.seen) * size : plan.steps * size]
    state.contrasted.train()
    for batch in batches(images, plan.rows[order], size):
        rng = np.random.default_rng((seed, epoch, state.steps + 1))
        here = batch.to(plan.compute.device)
        pictures = torch.cat([augmented(here, plan.augment, rng) for _ in range(2)])
        with plan.compute.autocast():
            projected = state.contrasted(to_input(pictures, plan.spec.preprocess))
        loss, found = told_apart(projected.float(), plan.settings.temperature)
        loss.backward()  # type: ignore[no-untyped-call]
        value, share = float(loss.detach()), float(found)
        if not math.isfinite(value):
            raise diverged(epoch)
        state.take_step(value, share)
        progress.advance(len(batch), epoch=str(epoch), loss=value, found=share)
        if state.due and len(state.seen) < plan.steps:
            state.write(time.perf_counter() - start)


@contextmanager
def _fitting(size: int) -> Iterator[None]:
    """Say of a batch that does not fit what helps: in parts it would be another contrast."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        raise TrainingError(
            f"two pictures of {size} patches do not fit in memory; close other programs, or take "
            f"a smaller pretrain.batch_size than {size}"
        ) from error


def _write(out: Path, plan: PretrainPlan, state: PretrainState, config: Config) -> None:
    save_checkpoint(out, plan.spec, state_of(state.average.network))
    settings = config.model_copy(
        update={"model": ModelConfig(name=plan.spec.name), "augment": plan.augment}
    )
    write_text(out / CONFIG_FILE, resolved_toml(settings, SECTIONS))
    RunRecord(
        fingerprint=hash_json(plan.made_from),
        provenance=provenance(PRETRAINED, **plan.made_from, seeds={PRETRAINED: plan.settings.seed}),
        compute=plan.compute.settings(),
        best_epoch=None,
        stopped="epochs",
        patches={"train": len(plan.rows)},
        metrics={name: state.history[-1][name] for name in ("loss", "found")},
        files={name: hash_file(out / name) for name in (SPEC_FILE, WEIGHTS_FILE, CONFIG_FILE)},
        timing={"epochs": state.history, "seconds": sum(row["seconds"] for row in state.history)},
    ).write(out)
