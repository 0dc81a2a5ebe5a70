"""The processes of one training: one, or as many as torchrun or SLURM started.

Every process holds the whole network and computes its share of every batch. What a network
computes over a batch (the statistics of batch normalisation) and what is drawn for it (dropout)
is computed and drawn for the whole one, so that several processes give what one alone gives, to
rounding.
"""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar, final

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.utilities.exceptions import MisconfigurationException
from numpy.typing import NDArray
from torch import Tensor

from sentinode.core import first_line
from sentinode.errors import SentinodeError, TrainingError
from sentinode.models import Compute, ModelSpec, has_unused_weights
from sentinode.train.whole_batch import WholeBatch

__all__ = ["Ranks", "first_process", "processes"]

T = TypeVar("T")


@final
@dataclass(frozen=True)
class Ranks:
    """This process among those of its training.

    Attributes:
        fabric: Launched.
    """

    fabric: Fabric

    @classmethod
    def launch(cls, compute: Compute, spec: ModelSpec) -> Ranks:
        """Join the other processes of this training, where there are any.

        Args:
            compute: Where and in which precision.
            spec: The network. Where weights of it have no part in the logits, the processes must
                look for them in every step, which other networks are spared.

        Raises:
            TrainingError: SLURM dealt its tasks unevenly, or the other processes do not answer.
        """
        for name in ("lightning_fabric", "lightning.fabric"):  # they announce the obvious
            logging.getLogger(name).setLevel(logging.WARNING)
        cluster, per_node, nodes = _launched_by()
        several = per_node * nodes > 1
        strategy = "auto"
        if several:
            strategy = "ddp_find_unused_parameters_true" if has_unused_weights(spec) else "ddp"
        try:
            fabric = Fabric(
                accelerator=compute.device,
                devices=per_node,
                num_nodes=nodes,
                strategy=strategy,
                precision="bf16-mixed" if compute.precision == "bfloat16" else "32-true",
                plugins=[cluster],
            )
            fabric.launch()
        except MisconfigurationException as error:
            raise TrainingError(
                f"{per_node} processes a machine cannot each have a {compute.device} of their own: "
                f"{first_line(error)}; start as many as it has, and on SLURM let every task see "
                "them all (--gpus-per-node)"
            ) from error
        except (RuntimeError, ValueError) as error:
            if not several:
                raise
            where = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
            raise TrainingError(
                f"the {per_node * nodes} processes of this training did not find each other at "
                f"{where}: {error}"
            ) from error
        if several:
            atexit.register(_leave)
        return cls(fabric)

    @property
    def count(self) -> int:
        """Number of processes."""
        return self.fabric.world_size

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.fabric.global_rank == 0

    def share(self, n: int, rank: int | None = None) -> slice:
        """Return which of ``n`` patches are a process's, this one's where none is named."""
        rank = self.fabric.global_rank if rank is None else rank
        return slice(n * rank // self.count, n * (rank + 1) // self.count)

    def places(self, sizes: Sequence[int], rank: int | None = None) -> NDArray[np.int64]:
        """Return which patches are a process's, this one's where none is named.

        Args:
            sizes: Sizes of the batches that are shared, in order.
            rank: Number of the process.

        Returns:
            int64 (M,), ascending, among the patches of all batches.
        """
        starts = np.cumsum([0, *sizes[:-1]])
        shares = [self.share(n, rank) for n in sizes]
        return np.concatenate(
            [s + np.arange(p.start, p.stop) for s, p in zip(starts, shares, strict=True)]
        ).astype(np.int64)

    def of_whole_batch(self, n: int) -> AbstractContextManager[Any]:
        """Return a context in which a share of ``n`` patches is computed as part of them all.

        A single patch alone needs it as well: PyTorch has no batch statistics of it.
        """
        if self.count == 1 and n > 1:
            return nullcontext()
        return WholeBatch(n, self.share(n))

    def joined(self, own: Tensor, sizes: Sequence[int]) -> Tensor:
        """Return the values of all processes, the same in each.

        Args:
            own: (M,), one value for each patch of this process's shares.
            sizes: Sizes of the batches that were shared, in order.

        Returns:
            (sum of sizes,), in the order of the batches.
        """
        if self.count == 1:
            return own
        places = [self.places(sizes, rank) for rank in range(self.count)]
        padded = own.new_zeros(max(map(len, places)))
        padded[: len(own)] = own
        everyones = [torch.empty_like(padded) for _ in places]
        torch.distributed.all_gather(everyones, padded)
        whole = own.new_empty(sum(sizes))
        for theirs, values in zip(places, everyones, strict=True):
            whole[torch.from_numpy(theirs).to(own.device)] = values[: len(theirs)]
        return whole

    def agreed(self, act: Callable[[], T]) -> T:
        """Let the first process do something; all return what came of it, or raise its error.

        Raises:
            SentinodeError: What ``act`` raised in the first process.
        """
        if self.count == 1:
            return act()
        found: tuple[T | None, SentinodeError | None] = (None, None)
        if self.first:
            try:
                found = (act(), None)
            except SentinodeError as error:
                found = (None, error)
        result, refused = self.fabric.broadcast(found)
        if refused is not None:
            raise refused
        return result  # type: ignore[return-value]

    def said_plainly(self, error: RuntimeError) -> RuntimeError:
        """Return the error to raise in place of one that came of waiting for the others."""
        lost = isinstance(error, torch.distributed.DistError) or "Connection" in str(error)
        if self.count == 1 or isinstance(error, SentinodeError) or not lost:
            return error
        return TrainingError(
            "another process of this training ended, see what it said; once that is mended the "
            "same command goes on after the last finished epoch"
        )


def processes() -> int:
    """Return how many processes were started to train together, this one among them."""
    if TorchElasticEnvironment.detect():
        return int(os.environ["WORLD_SIZE"])
    return _slurm_tasks()


def first_process() -> bool:
    """Tell whether this process is the one of its training that writes and speaks."""
    return not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0


def _leave() -> None:
    """Leave the other processes before the interpreter ends.

    What still waits for them in threads of its own would abort a process that has done its work.
    """
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _launched_by() -> tuple[ClusterEnvironment, int, int]:
    """Return what started this process, how many on each machine, and on how many machines."""
    if TorchElasticEnvironment.detect():
        per_node, nodes = (int(os.environ[f"{of}_WORLD_SIZE"]) for of in ("LOCAL", "GROUP"))
        return TorchElasticEnvironment(), per_node, nodes
    tasks = _slurm_tasks()
    if tasks == 1:
        return LightningEnvironment(), 1, 1
    nodes = int(os.environ.get("SLURM_NNODES", "1"))
    asked = os.environ.get("SLURM_NTASKS_PER_NODE")
    if asked is None or int(asked) * nodes != tasks:
        raise TrainingError(
            f"SLURM started {tasks} tasks on {nodes} machines; give srun or sbatch "
            "--ntasks-per-node (and no --ntasks), the same number on each machine"
        )
    return SLURMEnvironment(auto_requeue=False), tasks // nodes, nodes


def _slurm_tasks() -> int:
    # A batch script has the number of tasks as well; only what srun starts is one of them.
    return int(os.environ.get("SLURM_NTASKS", "1")) if "SLURM_STEP_ID" in os.environ else 1
