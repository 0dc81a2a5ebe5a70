"""The training loop, to be read from top to bottom."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from sentinode.core import Progress
from sentinode.data.loader import batches, epoch_order, to_input
from sentinode.errors import TrainingError
from sentinode.models import new_network, out_of_memory
from sentinode.predict import forward
from sentinode.tables import PackedSet
from sentinode.train.plan import Plan
from sentinode.train.scores import Scores, score
from sentinode.train.state import TrainState

__all__ = ["fit"]

VALIDATION_BATCH = 32  # small enough for the processor's caches, and fixed: it shapes the last bits
SECONDS_BETWEEN_SHOWN = 0.5
PATCHES_SHOWN = 4096


def fit(packed: PackedSet, plan: Plan, folder: Path) -> TrainState:
    """Train from wherever ``folder`` says it was left, until it is time to stop.

    Raises:
        TrainingError: The loss is no number any more, or a batch does not fit in memory.
        DiskFullError: The disk is full; the epochs written before are kept.
    """
    settings, compute = plan.settings, plan.compute
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces the precision
    fabric = Fabric(
        accelerator=compute.device,
        devices=1,
        precision="bf16-mixed" if compute.precision == "bfloat16" else "32-true",
    )
    network = new_network(plan.spec, settings.seed)
    compute.place(network)
    # Keras's Adam, whose epsilon is larger than PyTorch's.
    adam = torch.optim.Adam(network.parameters(), settings.learning_rate, eps=1e-7, fused=True)
    state = TrainState.resume(folder, plan.made_from, compute.settings(), network, adam)
    model, optimizer = fabric.setup(network, adam)

    total = settings.epochs * len(plan.training)
    with Progress("train", total, done=state.epoch * len(plan.training)) as progress:
        if state.epoch:
            how = ", in another precision or with other threads" if state.computed_elsewhere else ""
            progress.say(f"going on after epoch {state.epoch}{how}")
        while not finished(state, plan):
            epoch = state.epoch + 1
            start = time.perf_counter()
            trained = train_epoch(fabric, model, optimizer, packed, plan, epoch, progress)
            middle = time.perf_counter()
            images = batches(packed.images, plan.validation.rows, VALIDATION_BATCH)
            logits = forward(network, images, plan.spec.preprocess, compute)
            valid = checked_score(logits, plan.validation.labels, epoch)
            end = time.perf_counter()
            state.add(
                history_row(epoch, settings.learning_rate, trained, valid),
                {"train_s": middle - start, "valid_s": end - middle},
            )
            state.write()
            progress.say(epoch_line(state, plan))
    return state


def train_epoch(
    fabric: Fabric,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    packed: PackedSet,
    plan: Plan,
    epoch: int,
    progress: Progress,
) -> Scores:
    """Take one step a batch over all training patches, in this epoch's order."""
    settings = plan.settings
    order = epoch_order(len(plan.training), settings.seed, epoch)
    rows, labels = plan.training.rows[order], plan.training.labels[order]
    targets = torch.from_numpy(labels).to(fabric.device)
    seen: list[Tensor] = []
    done, shown_at = 0, time.perf_counter()
    model.train()
    for step, batch in enumerate(batches(packed.images, rows, settings.batch_size), 1):
        torch.manual_seed(step_seed(settings.seed, epoch, step))
        try:
            logits = model(to_input(fabric.to_device(batch), plan.spec.preprocess))
            loss = binary_cross_entropy_with_logits(logits, targets[done : done + len(batch)])
            fabric.backward(loss)
        except (RuntimeError, MemoryError) as error:
            raise said_plainly(error, settings.batch_size) from error
        optimizer.step()
        optimizer.zero_grad()
        seen.append(logits.detach())
        done += len(batch)
        if time.perf_counter() - shown_at > SECONDS_BETWEEN_SHOWN or done == len(rows):
            shown_at = time.perf_counter()
            last = torch.cat(seen[-max(1, PATCHES_SHOWN // settings.batch_size) :]).cpu().numpy()
            now = checked_score(last, labels[done - len(last) : done], epoch)
            auc = "-" if np.isnan(now.auc) else now.auc
            progress.advance(0, epoch=str(epoch), loss=now.loss, AUC=auc)
        progress.advance(len(batch))
    return checked_score(torch.cat(seen).cpu().numpy(), labels, epoch)


def step_seed(seed: int, epoch: int, step: int) -> int:
    """Return the seed of all that is drawn in one step, from nothing but its arguments."""
    return int(np.random.SeedSequence((seed, epoch, step)).generate_state(1, np.uint64)[0])


def checked_score(logits: NDArray[np.float32], labels: NDArray[np.float32], epoch: int) -> Scores:
    """Score logits, and stop where they are no numbers any more."""
    if not np.isfinite(logits).all():
        raise TrainingError(
            f"training diverged in epoch {epoch}: the loss is no number any more; "
            "take a smaller train.learning_rate (a tenth of it), or train.precision=float32"
        )
    return score(logits, labels)


def finished(state: TrainState, plan: Plan) -> bool:
    """Tell whether all epochs are done, or the best one lies ``patience`` epochs back."""
    patience = plan.settings.patience
    waited = state.epoch - state.best_epoch
    return state.epoch >= plan.settings.epochs or (patience is not None and waited >= patience)


def history_row(epoch: int, rate: float, trained: Scores, valid: Scores) -> dict[str, float]:
    """Return one row of the history; its keys are the columns of ``history.csv``."""
    return {
        "epoch": epoch,
        "learning_rate": rate,
        "loss": trained.loss,
        "accuracy": trained.accuracy,
        "auc": trained.auc,
        "valid_loss": valid.loss,
        "valid_accuracy": valid.accuracy,
        "valid_auc": valid.auc,
    }


def epoch_line(state: TrainState, plan: Plan) -> str:
    """Return what is said of the epoch just finished."""
    row, timing = state.history[-1], state.timing[-1]
    return (
        f"epoch {state.epoch} of {plan.settings.epochs}: "
        f"loss {row['loss']:.4f}, AUC {row['auc']:.4f}; "
        f"validation loss {row['valid_loss']:.4f}, accuracy {row['valid_accuracy']:.4f}, "
        f"AUC {row['valid_auc']:.4f}{' (best)' if state.best_epoch == state.epoch else ''}; "
        f"{len(plan.training) / timing['train_s']:.0f} patches/s"
    )


def said_plainly(error: RuntimeError | MemoryError, batch_size: int) -> Exception:
    """Return the error to raise in place of one of a step: memory that ran out has a remedy."""
    if not out_of_memory(error):
        return error
    smaller = max(1, batch_size // 2)
    return TrainingError(
        f"a batch of {batch_size} patches does not fit in memory; "
        f"take a smaller one: --set train.batch_size={smaller}"
    )
