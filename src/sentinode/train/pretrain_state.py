"""What a pretraining needs, and where it is: in memory, and on disk to go on after a kill."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ConfigDict, FiniteFloat, TypeAdapter
from torch import Tensor, nn

from sentinode.config import AugmentConfig, PretrainConfig
from sentinode.core import first_line
from sentinode.errors import TrainingError
from sentinode.models import Compute, ModelSpec, Network, new_network, out_of_memory, state_of
from sentinode.models.nodenet import NodeNet
from sentinode.train.average import MovingAverage
from sentinode.train.contrast import Contrasted
from sentinode.train.stored import (
    STATE_FILE,
    Pace,
    below,
    damaged,
    moments,
    read_state,
    read_tensors,
    restore_moments,
    write_state,
)

__all__ = ["PretrainPlan", "PretrainState"]

WEIGHT_DECAY, BETAS, CLIP, AVERAGE = 0.05, (0.9, 0.99), 1.0, 0.99
ROWS = TypeAdapter(list[dict[str, FiniteFloat]], config=ConfigDict(strict=True))
COLUMNS = {"loss", "found", "seconds"}
PARTS = ("model", "projection", "average")


@final
@dataclass(frozen=True)
class PretrainPlan:
    """A pretraining that can start.

    Attributes:
        spec: The network, at the scale of the set.
        settings: How it is pretrained.
        augment: How two pictures of a patch are made to differ.
        compute: Where and in which precision.
        rows: int64 (N,), rows of the patches in the set.
        made_from: All that shapes the weights, as plain JSON: ``config`` and ``inputs``.
    """

    spec: ModelSpec
    settings: PretrainConfig
    augment: AugmentConfig
    compute: Compute
    rows: NDArray[np.int64]
    made_from: Mapping[str, Any]

    @property
    def steps(self) -> int:
        """Steps an epoch; what is left over is not shown in it."""
        return len(self.rows) // self.settings.batch_size


@final
class PretrainState:
    """The steps done so far, and the tensors to go on from.

    Attributes:
        network: What learns.
        contrasted: The same, with its projection.
        average: What is kept.
        history: What each finished epoch came to: ``loss``, ``found`` and ``seconds``.
        seen: Loss and share found of each step of the unfinished epoch.
        seconds: Wall time of these steps in s.
        computed_elsewhere: Whether what is gone on from took another device, precision or number
            of threads, so that the bytes will not be those of a run never interrupted.

    Args:
        folder: Where it is stored.
        plan: What is to be done.

    Raises:
        StateError: A file in the folder is damaged, or of another pretraining.
    """

    def __init__(self, folder: Path, plan: PretrainPlan) -> None:
        self._folder, self._plan, self._pace = folder, plan, Pace()
        network = new_network(plan.spec, plan.settings.seed)
        assert isinstance(network, NodeNet)
        self.network: Network = network
        self.contrasted = Contrasted(network, plan.settings.seed)
        plan.compute.place(network)
        self.contrasted.to(plan.compute.device)
        self.average = MovingAverage(network, AVERAGE)
        self._optimizer = torch.optim.AdamW(
            self.contrasted.parameters(),
            plan.settings.learning_rate,
            BETAS,
            weight_decay=WEIGHT_DECAY,
        )
        self.history: list[dict[str, float]] = []
        self.seen: list[dict[str, float]] = []
        self.seconds = 0.0
        self.computed_elsewhere = False
        if (folder / STATE_FILE).is_file():
            values = read_state(folder)
            self._take(values, read_tensors(folder, values))

    @property
    def steps(self) -> int:
        """Number of steps done."""
        return len(self.history) * self._plan.steps + len(self.seen)

    @property
    def due(self) -> bool:
        """Whether it is time to write within an epoch."""
        return self._pace.due

    def take_step(self, loss: float, found: float) -> None:
        """Move the weights by the gradients there are.

        The learning rate rises during the first epoch and falls to zero after the last step.
        """
        plan, step = self._plan, self.steps + 1
        falling = 0.5 * (1 + math.cos(math.pi * step / (plan.settings.epochs * plan.steps + 1)))
        rising = min(1.0, step / plan.steps)
        self._optimizer.param_groups[0]["lr"] = plan.settings.learning_rate * rising * falling
        nn.utils.clip_grad_norm_(self.contrasted.parameters(), CLIP)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.average.update(self.network, step)
        self.seen.append({"loss": loss, "found": found})

    def end_epoch(self, seconds: float) -> dict[str, float]:
        """Make a row of the steps seen, all of an epoch, which took ``seconds`` s; write it."""
        means = {k: float(np.mean([each[k] for each in self.seen])) for k in ("loss", "found")}
        self.history.append({**means, "seconds": seconds})
        self.seen, self.seconds = [], 0.0
        self.write(0.0)
        return self.history[-1]

    def write(self, seconds: float) -> None:
        """Write everything, after ``seconds`` s of an unfinished epoch; replaced at once.

        Raises:
            TrainingError: A weight is no number any more; what was written before stays.
            DiskFullError: The disk is full.
        """
        start = time.perf_counter()
        parts = {name: state_of(module) for name, module in self._modules().items()}
        tensors = {f"{part}.{n}": t for part, each in parts.items() for n, t in each.items()}
        if not all(bool(t.isfinite().all()) for t in tensors.values()):
            raise diverged(len(self.history) + bool(self.seen))
        tensors |= {f"optimizer.{name}": t for name, t in moments(self._optimizer).items()}
        values = {
            "made_from": self._plan.made_from,
            "compute": self._plan.compute.settings(),
            "history": self.history,
            "seen": self.seen,
            "seconds": seconds,
        }
        part = f"-{len(self.seen)}" if self.seen else ""
        write_state(self._folder, f"{len(self.history):04d}{part}", tensors, values)
        self._pace.wrote(start)

    def _modules(self) -> dict[str, nn.Module]:
        modules = (self.network, self.contrasted.projection, self.average.network)
        return dict(zip(PARTS, modules, strict=True))

    def _take(self, values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        try:
            self.history, self.seen = (ROWS.validate_python(values[k]) for k in ("history", "seen"))
            rows = [({*row}, COLUMNS) for row in self.history]
            rows += [({*row}, COLUMNS - {"seconds"}) for row in self.seen]
            if not rows or any(found != known for found, known in rows):
                raise ValueError("its history is not whole")
            if len(self.seen) >= self._plan.steps:
                raise ValueError(f"{len(self.seen)} steps of an unfinished epoch")
            (row,) = ROWS.validate_python([{"seconds": values["seconds"]}])
            self.seconds = row["seconds"]
            self.computed_elsewhere = values["compute"] != self._plan.compute.settings()
            for name, module in self._modules().items():
                module.load_state_dict(below(f"{name}.", tensors))
            restore_moments(self._optimizer, below("optimizer.", tensors))
        except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
            if out_of_memory(error):
                raise
            raise damaged(self._folder, f"it holds another thing ({first_line(error)})") from error


def diverged(epoch: int) -> TrainingError:
    """Return what to say of a pretraining whose loss or weights are no numbers any more."""
    return TrainingError(
        f"pretraining diverged in epoch {epoch}: the loss is no number any more; start over with "
        "--force and a smaller pretrain.learning_rate (a tenth of it), or with "
        "pretrain.precision=float32"
    )
