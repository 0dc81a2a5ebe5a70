"""The training loop, to be read from top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sentinode.core import Progress
from sentinode.data.loader import batches, epoch_order, resident, to_input
from sentinode.errors import InputError, TrainingError
from sentinode.models import Network, build, out_of_memory
from sentinode.models.encoders import EncoderNetwork
from sentinode.predict import forward
from sentinode.predict.features import cached_features
from sentinode.tables import PackedSet
from sentinode.train.augment import augmented, mixed
from sentinode.train.average import MovingAverage
from sentinode.train.norms import renew_norms
from sentinode.train.objective import class_weights, learning, make_optimizer, objective
from sentinode.train.plan import Plan
from sentinode.train.ranks import Ranks
from sentinode.train.schedule import learning_rate
from sentinode.train.scores import Scores, score
from sentinode.train.seen import Seen
from sentinode.train.smaller import DoesNotFitError, a_batch_that_fits, take_smaller_batches
from sentinode.train.state import Part, TrainState
from sentinode.train.teaching import PLAIN_BATCH, Teachers
from sentinode.train.tracking import Trackers

__all__ = ["fit"]

VALIDATION_BATCH = 32  # small enough for the processor's caches, and fixed: it shapes the last bits
MEASURING_BATCH = 64  # at most: every process measures all of them, and without gradients
SECONDS_BETWEEN_SHOWN = 0.5


def fit(
    packed: PackedSet,
    plan: Plan,
    folder: Path,
    ranks: Ranks,
    after_epoch: Callable[[Mapping[str, float]], None] = lambda row: None,
) -> TrainState:
    """Train from wherever ``folder`` says it was left, until it is time to stop.

    ``after_epoch`` is given the history's row of each epoch once it is stored, first of those
    that were finished before.

    Raises:
        TrainingError: The loss is no number any more, or a single patch does not fit in memory.
        DiskFullError: The disk is full; the epochs written before are kept.
        NetworkError: What is to be told of the training does not answer at the start.
    """
    settings, compute = plan.settings, plan.compute
    network = build(plan.spec)
    compute.place(network)
    average = MovingAverage(network, settings.average) if settings.average else None
    inner = make_optimizer(network, settings)
    state = TrainState(folder, plan, network, inner, ranks, average)
    state.resume()
    model, optimizer = ranks.fabric.setup(network, inner)
    with Trackers(plan, folder, state.epoch, ranks) as trackers:  # first: they may not answer
        images = resident(shown_images(packed, plan, network), ranks.fabric.device)
        teachers = Teachers(plan.teachers, settings, compute) if plan.teachers else None
        aims = plan.training.labels
        if teachers is not None and settings.teachers_see == "plain":
            aims, teachers = said_beforehand(teachers, images, state, plan, ranks), None
        job = Job(ranks, network, model, optimizer, average, teachers, images, aims, plan, state)
        train_epochs(job, trackers, after_epoch)
    return state


def train_epochs(
    job: Job, trackers: Trackers, after_epoch: Callable[[Mapping[str, float]], None]
) -> None:
    """Train epoch after epoch until it is time to stop."""
    plan, state, settings = job.plan, job.state, job.plan.settings
    total = settings.epochs * len(plan.training)
    done = state.epoch * len(plan.training) + state.part.done
    with Progress("train", total, done=done, quiet=not job.ranks.first) as progress:
        trackers.say = progress.say
        if done:
            progress.say(going_on_line(state, plan))
        for row in state.history:
            after_epoch(row)
        while not finished(state, plan):
            epoch = state.epoch + 1
            before = [p.detach().clone() for p in learning(job.network)]
            start = time.perf_counter() - state.part.seconds
            try:
                trained = train_epoch(job, epoch, start, progress)
                middle = time.perf_counter()
                measure_norms(job, epoch)
                valid = validated(job, epoch)
            except DoesNotFitError as error:
                job.optimizer.zero_grad()  # of the batches before in the same step
                take_smaller_batches(state, settings, error, progress)
                continue
            end = time.perf_counter()
            state.add(
                history_row(epoch, job.optimizer.param_groups[0]["lr"], trained, valid),
                {"train_s": middle - start, "valid_s": end - middle},
            )
            state.write()
            progress.say(epoch_line(state, plan))
            if epoch == 1 and stood_still(before, job.network):
                progress.say(
                    f"the weights hardly moved in this epoch: train.learning_rate = "
                    f"{settings.learning_rate:g} does nothing; take a larger one (1e-3 is usual)"
                )
            trackers.tell(state.history)
            after_epoch(state.history[-1])


def shown_images(packed: PackedSet, plan: Plan, network: Network) -> NDArray[Any]:
    """Return what is learnt from: the set's patches, or a frozen encoder's features of them."""
    if not plan.embedded or not isinstance(network, EncoderNetwork):
        return packed.images
    rows = np.concatenate([plan.training.rows, plan.validation.rows])
    return cached_features(network, plan.spec, packed, rows, plan.compute)


def said_beforehand(
    teachers: Teachers,
    images: NDArray[Any] | Tensor,
    state: TrainState,
    plan: Plan,
    ranks: Ranks,
) -> NDArray[np.float32]:
    """Return what is learnt of each training patch, its teachers asked about it as it is."""
    training = plan.training
    if finished(state, plan):  # nothing is left to learn
        return training.labels
    preprocess, start = plan.spec.preprocess, time.perf_counter()
    with a_batch_that_fits(PLAIN_BATCH, 0):
        aims = teachers.plain_aims(images, training.rows, training.labels, preprocess, ranks)
    state.asked_s = time.perf_counter() - start
    return aims


@final
@dataclass(frozen=True)
class Job:
    """What every epoch of a training needs.

    ``model`` is ``network`` as Fabric wraps it; ``aims`` are the labels of the training patches,
    or what lies between them and what teachers said beforehand.
    """

    ranks: Ranks
    network: Network
    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    average: MovingAverage | None
    teachers: Teachers | None
    images: NDArray[Any] | Tensor
    aims: NDArray[np.float32]
    plan: Plan
    state: TrainState

    @property
    def batches_a_step(self) -> int:
        """Batches whose gradients make one step."""
        settings = self.plan.settings
        return settings.accumulate * (settings.batch_size // self.state.batch_size)

    def gathered(self, number: int) -> int:
        """Patches of the step that the ``number``-th batch is part of, fewer in the last one."""
        size = self.batches_a_step * self.state.batch_size
        before = (number - 1) // self.batches_a_step * size
        return min(size, len(self.plan.training) - before)


def train_epoch(job: Job, epoch: int, start: float, progress: Progress) -> Scores:
    """Go once over all training patches, in this epoch's order, from where it was cut short.

    ``start`` is when it began, as ``perf_counter`` tells the time.
    """
    plan, settings, batch_size = job.plan, job.plan.settings, job.state.batch_size
    order = epoch_order(len(plan.training), settings.seed, epoch)
    rows, labels = plan.training.rows[order], plan.training.labels[order]
    targets = torch.from_numpy(job.aims[order]).to(job.ranks.fabric.device)
    weights = class_weights(settings, torch.from_numpy(labels))
    valid_losses = [row["valid_loss"] for row in job.state.history]
    sizes = [min(batch_size, len(rows) - first) for first in range(0, len(rows), batch_size)]
    each_step, n_batches = job.batches_a_step, len(sizes)
    n_steps = math.ceil(n_batches / each_step)
    seen = Seen(job.ranks, sizes, labels, job.state.part.logits.to(targets.device))
    done, shown_at = job.state.part.done, time.perf_counter()
    job.model.train()
    shown = batches(job.images, rows[done:], batch_size)
    for number, batch in enumerate(shown, 1 + done // batch_size):
        aims = targets[done : done + len(batch)]
        seed = step_seed(settings.seed, epoch, number)
        stepped = number % each_step == 0 or number == n_batches
        with a_batch_that_fits(batch_size, done):
            logits = learn(job, batch, aims, seed, weights, job.gathered(number))
            if stepped:
                step = math.ceil(number / each_step)
                so_far = epoch - 1 + step / n_steps
                take_step(job, learning_rate(settings, so_far, valid_losses))
                if job.average is not None:
                    job.average.update(job.network, (epoch - 1) * n_steps + step)
        seen.add(logits)
        done += len(batch)
        if time.perf_counter() - shown_at > SECONDS_BETWEEN_SHOWN or done == len(rows):
            shown_at = time.perf_counter()
            show(seen, epoch, progress)
        progress.advance(len(batch))
        if stepped and done < len(rows) and job.state.due:
            job.state.write(Part(seen.logits[:done].cpu(), time.perf_counter() - start))
    return checked_score(job.ranks.joined(seen.logits, sizes).cpu().numpy(), labels, epoch)


def learn(
    job: Job, batch: Tensor, aims: Tensor, seed: int, weights: tuple[float, float], gathered: int
) -> Tensor:
    """Add a batch's gradients; return the logits of this process's share of it.

    Args:
        job: What the training needs.
        batch: uint8 (B, H, W, 3), the whole batch; changes are drawn for all of it.
        aims: float (B,), its labels.
        seed: Of all that is drawn for it.
        weights: What a patch of each class counts.
        gathered: Patches of the whole step, over which the loss is averaged.
    """
    settings, ranks, preprocess = job.plan.settings, job.ranks, job.plan.spec.preprocess
    torch.manual_seed(seed)  # for dropout
    rng = np.random.default_rng(seed)
    patches = augmented(ranks.fabric.to_device(batch), job.plan.augment, rng)
    inputs, aims = mixed(to_input(patches, preprocess), aims, job.plan.augment, rng)
    mine = ranks.share(len(batch))
    inputs, aims = inputs[mine], aims[mine]
    if job.teachers is not None:
        aims = job.teachers.aims(inputs, aims)
    with ranks.of_whole_batch(len(batch)):
        logits: Tensor = job.model(inputs)
    # The gradients of all processes are averaged afterwards.
    loss = objective(logits, aims, settings, weights, of=gathered / ranks.count)
    ranks.fabric.backward(loss)
    return logits.detach()


def show(seen: Seen, epoch: int, progress: Progress) -> None:
    """Show loss and AUC over the latest patches of this process."""
    logits, labels = seen.lately()
    if not len(labels):
        return
    now = checked_score(logits, labels, epoch)
    auc = "-" if np.isnan(now.auc) else now.auc
    progress.advance(0, epoch=str(epoch), loss=now.loss, AUC=auc)


def measure_norms(job: Job, epoch: int) -> None:
    """Measure the statistics of what is validated and kept, over some of the training patches."""
    plan = job.plan
    count = min(plan.settings.norm_patches, len(plan.training))
    if not count:
        return
    size = max(2, min(job.state.batch_size, MEASURING_BATCH))
    count -= count % size == 1  # one patch alone has no statistics
    rows = plan.training.rows[epoch_order(len(plan.training), plan.settings.seed, epoch)[:count]]
    shown = batches(job.images, rows, size)
    with a_batch_that_fits(job.state.batch_size, len(plan.training)):
        renew_norms(job.state.judged, shown, plan.spec.preprocess, plan.compute)


def validated(job: Job, epoch: int) -> Scores:
    """Score the network on the validation patches, each process its share."""
    validation, ranks = job.plan.validation, job.ranks
    own = validation.rows[ranks.share(len(validation))]
    logits = logits_of(job, own)
    on_device = torch.from_numpy(logits).to(ranks.fabric.device)
    whole = ranks.joined(on_device, [len(validation)]).cpu().numpy()
    return checked_score(whole, validation.labels, epoch)


def logits_of(job: Job, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the logits of patches, in smaller batches where memory asks for it."""
    size = VALIDATION_BATCH
    while True:
        shown = batches(job.images, rows, size)
        try:
            return forward(job.state.judged, shown, job.plan.spec.preprocess, job.plan.compute)
        except InputError as error:
            if not out_of_memory(error.__cause__ or error):
                raise
            if size == 1:
                raise TrainingError(
                    "not one patch can be validated in the memory there is; close other programs, "
                    "or take a smaller network"
                ) from error
            size //= 2


def take_step(job: Job, rate: float) -> None:
    """Move the weights by the gradients gathered so far."""
    if (clip := job.plan.settings.clip) is not None:
        # What is no number is told of by the logits that come of it.
        job.ranks.fabric.clip_gradients(
            job.model, job.optimizer, max_norm=clip, error_if_nonfinite=False
        )
    for group in job.optimizer.param_groups:
        group["lr"] = rate
    job.optimizer.step()
    job.optimizer.zero_grad()


def stood_still(before: list[Tensor], network: Network) -> bool:
    """Tell whether no weight moved by a millionth of the largest one of its tensor."""
    return all(
        float((now.detach() - then).abs().max()) <= 1e-6 * float(then.abs().max())
        for then, now in zip(before, learning(network), strict=True)
        if then.ndim > 1  # biases begin at zero
    )


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


def going_on_line(state: TrainState, plan: Plan) -> str:
    """Return what is said of a training that goes on."""
    where = f"after epoch {state.epoch}"
    if state.part.done:
        whole = len(plan.training)
        where = f"in epoch {state.epoch + 1}, after {state.part.done:,} of {whole:,} patches"
    how = ", in another precision or with other threads" if state.computed_elsewhere else ""
    return f"going on {where}{how}"


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
