"""Where a training is, on disk after every epoch and within long ones, to go on after a kill."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from pydantic import ConfigDict, FiniteFloat, TypeAdapter
from torch import Tensor

from sentinode.core import first_line
from sentinode.models import Network, out_of_memory, state_of
from sentinode.tables import HISTORY_COLUMNS
from sentinode.train.average import MovingAverage
from sentinode.train.plan import Plan
from sentinode.train.ranks import Ranks
from sentinode.train.stored import (
    STATE_FILE,
    Pace,
    below,
    damaged,
    moments,
    read_state,
    read_tensors,
    remove_state,
    restore_moments,
    write_state,
)

__all__ = ["Part", "TrainState"]

NUMBERS = TypeAdapter(list[dict[str, FiniteFloat]], config=ConfigDict(strict=True))


@final
@dataclass(frozen=True)
class Part:
    """What of an epoch is done that is not finished yet, at the end of a step.

    Attributes:
        logits: float32 (N,), on the CPU: what was said of each patch, in the epoch's order, before
            it was learnt from.
        seconds: Wall time it took.
    """

    logits: Tensor
    seconds: float

    @property
    def done(self) -> int:
        """Number of patches."""
        return len(self.logits)


NOTHING = Part(torch.empty(0), 0.0)


@final
class TrainState:
    """The epochs done so far, and the tensors to go on from.

    The folder holds ``state.json`` and the tensors it names by file and hash.

    Attributes:
        history: One row of the history per finished epoch.
        timing: Wall times of each of these epochs in s.
        part: What was done of the next epoch when it was cut short.
        asked_s: Wall time in s of asking teachers beforehand, since this process started.
        kept: Tensors of the epoch that is kept, as `state_of` gives them.
        batch_size: Patches through the network at once: what was asked for, or what fits.
        computed_elsewhere: Whether the epochs so far took another device, precision or number
            of threads, so that the bytes will not be those of a run never interrupted.
    """

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        network: Network,
        optimizer: torch.optim.Optimizer,
        ranks: Ranks,
        average: MovingAverage | None = None,
    ) -> None:
        self._folder, self._plan, self._ranks = folder, plan, ranks
        self._network, self._optimizer, self._average = network, optimizer, average
        self.history: list[dict[str, float]] = []
        self.timing: list[dict[str, float]] = []
        self.part = NOTHING
        self.asked_s = 0.0
        self.kept: dict[str, Tensor] = {}
        self.batch_size = plan.settings.batch_size
        self.computed_elsewhere = False
        self._pace = Pace()

    def resume(self) -> None:
        """Go on from what the folder holds, or from the plan's first weights where it is empty.

        Network, optimiser and average take the stored tensors, in place.

        Raises:
            StateError: A file is damaged, or of another training.
        """
        stored = self._ranks.agreed(self._stored)
        if stored is not None:
            self._take(*stored)
            return
        self.part = NOTHING
        self._network.load_state_dict(self._plan.first_network().state_dict())
        self._optimizer.state.clear()
        if self._average is not None:
            self._average.network.load_state_dict(self._network.state_dict())

    @property
    def alone(self) -> bool:
        """Whether no other process takes part."""
        return self._ranks.count == 1

    @property
    def compute(self) -> dict[str, Any]:
        """What shapes the last bits: device, precision, threads, and processes where several."""
        several = {} if self.alone else {"processes": self._ranks.count}
        return self._plan.compute.settings() | several

    @property
    def judged(self) -> Network:
        """The network that is validated and kept: the average where there is one."""
        return self._network if self._average is None else self._average.network

    @property
    def epoch(self) -> int:
        """Number of finished epochs."""
        return len(self.history)

    @property
    def best_epoch(self) -> int:
        """The epoch of lowest validation loss, the first of equals; 0 before any."""
        if not self.history:
            return 0
        return 1 + min(range(self.epoch), key=lambda i: self.history[i]["valid_loss"])

    @property
    def kept_epoch(self) -> int:
        """The epoch whose weights are kept; 0 before any."""
        return self.best_epoch if self._plan.settings.keep == "best" else self.epoch

    def add(self, row: dict[str, float], timing: dict[str, float]) -> None:
        """Add a finished epoch; its weights are kept where it is the one to keep."""
        self.history.append(row)
        self.timing.append(timing)
        self.part = NOTHING
        if self.kept_epoch == self.epoch:
            self.kept = {name: t.clone() for name, t in state_of(self.judged).items()}

    @property
    def due(self) -> bool:
        """Whether it is time to write a part of an epoch, so that little is lost by a kill.

        Several processes write whole epochs only: they would have to agree about the time.
        """
        return self.alone and self._pace.due

    def write(self, part: Part = NOTHING) -> None:
        """Write everything; what was there is replaced at once or stays whole.

        Only the first process writes.

        Args:
            part: What is done of the next epoch.

        Raises:
            DiskFullError: The disk is full.
        """
        if not self._ranks.first:
            return
        start = time.perf_counter()
        self._write(part)
        self._pace.wrote(start)

    def _write(self, part: Part) -> None:
        tensors = {f"model.{name}": t for name, t in state_of(self._network).items()}
        if self._average is not None:
            averaged = state_of(self._average.network)
            tensors |= {f"average.{name}": t for name, t in averaged.items()}
        tensors |= {f"kept.{name}": t for name, t in self.kept.items()}
        tensors |= {f"optimizer.{name}": t for name, t in moments(self._optimizer).items()}
        tensors |= {"part.logits": part.logits} if part.done else {}
        values = {
            "made_from": self._plan.made_from,
            "compute": self.compute,
            "batch_size": self.batch_size,
            "history": self.history,
            "timing": self.timing,
            "part_s": part.seconds,
        }
        name = f"{self.epoch:04d}{f'-{part.done}' if part.done else ''}"
        write_state(self._folder, name, tensors, values)

    def remove(self) -> None:
        """Remove what is stored once the run is finished."""
        remove_state(self._folder)

    def _stored(self) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        if not (self._folder / STATE_FILE).is_file():
            return None
        values = read_state(self._folder)
        return values, read_tensors(self._folder, values)

    def _take(self, values: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        try:
            self.history, self.timing = _rows(values)
            self.part = _part(values, tensors, self._plan)
            if not self.history and not self.part.done:
                raise ValueError("its history is not whole")
            self.batch_size = _divisor(values["batch_size"], self._plan.settings.batch_size)
            self.computed_elsewhere = values["compute"] != self.compute
            self.kept = _weights("kept.", tensors, self.judged) if self.history else {}
            self._network.load_state_dict(_weights("model.", tensors, self._network))
            if (average := self._average) is not None:
                stored = _weights("average.", tensors, average.network)
                average.network.load_state_dict(stored)
            restore_moments(self._optimizer, below("optimizer.", tensors))
        except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
            if out_of_memory(error):
                raise
            raise damaged(self._folder, f"it holds another thing ({first_line(error)})") from error


def _rows(values: Mapping[str, Any]) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    """Return history and timing as stored; raises ValueError where they are none."""
    history, timing = values["history"], values["timing"]
    for rows, columns in ((history, HISTORY_COLUMNS), (timing, ("train_s", "valid_s"))):
        NUMBERS.validate_python(rows)
        if not all(set(row) == set(columns) for row in rows):
            raise ValueError("its history has other columns")
    if len(history) != len(timing):
        raise ValueError("its history is not whole")
    return history, timing


def _part(values: Mapping[str, Any], tensors: Mapping[str, Tensor], plan: Plan) -> Part:
    """Return what is stored of an unfinished epoch; raises ValueError where it is of another."""
    logits = tensors.get("part.logits", NOTHING.logits)
    if logits.ndim != 1 or logits.dtype != NOTHING.logits.dtype:
        raise ValueError("its unfinished epoch has no logits")
    step = plan.settings.batch_size * plan.settings.accumulate
    if len(logits) % step or len(logits) >= len(plan.training):
        raise ValueError(f"an unfinished epoch of {len(logits):,} patches in steps of {step}")
    # What an earlier version left has none.
    (part,) = NUMBERS.validate_python([{"part_s": values.get("part_s", 0.0)}])
    return Part(logits, part["part_s"])


def _divisor(size: object, whole: int) -> int:
    if type(size) is not int or size < 1 or whole % size:
        raise ValueError(f"batches of {size!r} patches")
    return size


def _weights(prefix: str, tensors: Mapping[str, Tensor], network: Network) -> dict[str, Tensor]:
    """Return what is stored of a network; raises ValueError where it is of another one."""
    found = below(prefix, tensors)
    known = network.state_dict()
    if {n: (t.shape, t.dtype) for n, t in found.items()} != {
        n: (t.shape, t.dtype) for n, t in known.items()
    }:
        raise ValueError("its weights are of another network")
    return found
