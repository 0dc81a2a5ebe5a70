"""Networks that another one starts from or learns from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sentinode.config import TrainConfig
from sentinode.core import Progress
from sentinode.data.loader import batches, to_input
from sentinode.errors import InputError
from sentinode.models import Compute, ModelSpec, Run, resolve_run
from sentinode.train.augment import interpolated
from sentinode.train.ranks import Ranks
from sentinode.types import Preprocess

__all__ = ["PLAIN_BATCH", "Teachers", "behind", "start_of", "teachers_of", "weights_behind"]

PLAIN_BATCH = 64


def start_of(settings: TrainConfig, spec: ModelSpec) -> Run | None:
    """Open the run from whose weights a network starts, None where they are drawn.

    Raises:
        MissingInputError: There is no such run.
        InputError: It is of another network, or is shown patches in another way.
        CheckpointError: It is damaged.
    """
    if not settings.start:
        return None
    run = resolve_run(settings.start, to_start=True)
    if _shape(run.spec) != _shape(spec):
        raise InputError(
            f"{spec.name} cannot start from {run.folder}, which holds {run.spec.name} or sees "
            "patches in another way; take a run of the same network"
        )
    return run


def weights_behind(settings: TrainConfig) -> dict[str, str]:
    """Return the SHA-256 of all weights that training starts from or learns from, by their role.

    Raises:
        MissingInputError: There is no such run.
    """
    start = {}
    if settings.start:
        start = {"start": resolve_run(settings.start, to_start=True).weights_hash}
    teachers = enumerate(settings.teachers, 1)
    return start | {f"teacher_{n}": resolve_run(name).weights_hash for n, name in teachers}


def behind(runs: Sequence[Run], inputs: Mapping[str, str]) -> str | None:
    """Return why runs that are started or learnt from may know patches kept from the training.

    Args:
        runs: The runs.
        inputs: Hashes of the ``set`` and the ``split`` of the training.

    Returns:
        As ``behind`` of `RunRecord`: of the first run that has a reason.
    """
    for run in runs:
        theirs = run.record.provenance.inputs
        if "set" not in theirs or "split" not in theirs:
            return "on patches that nothing tells of"
        if theirs["set"] != inputs["set"]:
            return "on another set, which may share slides with this one"
        if theirs["split"] != inputs["split"]:
            return "by another split of this set"
        if run.record.behind is not None:
            return run.record.behind
    return None


def _shape(spec: ModelSpec) -> tuple[object, ...]:
    """What weights have to fit; the scale of the patches is not part of it."""
    return spec.builder, spec.args, spec.preprocess.model_copy(update={"mpp": None})


def teachers_of(settings: TrainConfig, spec: ModelSpec) -> tuple[Run, ...]:
    """Open the runs that ``settings`` names as teachers of a network.

    Raises:
        MissingInputError: There is no such run.
        InputError: A teacher is shown patches in another way than the network.
        CheckpointError: One is damaged.
    """
    runs = tuple(resolve_run(name) for name in settings.teachers)
    for run in runs:
        if run.spec.preprocess != spec.preprocess:
            raise InputError(
                f"{run.folder} cannot teach {spec.name}: it takes patches as "
                f"{run.spec.preprocess}, the other as {spec.preprocess}"
            )
    return runs


@final
class Teachers:
    """What several networks say of the patches that another one is shown.

    Hinton et al. (2015); Beyer et al. (CVPR 2022) for showing both the same changed and mixed
    patches; Xie et al. (CVPR 2020) for asking about the patch as it was before. Each teacher and
    each angle counts the same.

    Args:
        runs: The teachers, at least one.
        settings: How much they count beside the labels, and under how many angles they look.
        compute: Device and precision.
    """

    def __init__(self, runs: tuple[Run, ...], settings: TrainConfig, compute: Compute) -> None:
        self._share, self._compute = settings.teacher_share, compute
        self._angles = [90 * k / settings.teacher_turns for k in range(settings.teacher_turns)]
        self._networks = [run.load().requires_grad_(False).eval() for run in runs]
        for network in self._networks:
            compute.place(network)

    def aims(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return what is to be learnt, float (B,) in 0..1.

        Args:
            inputs: float (B, C, H, W), changed, preprocessed and mixed.
            targets: float (B,), labels or their mixtures.
        """
        return torch.lerp(targets, self.said(inputs), self._share)

    def plain_aims(
        self,
        images: NDArray[Any] | Tensor,
        rows: NDArray[np.int64],
        labels: NDArray[np.float32],
        preprocess: Preprocess,
        ranks: Ranks,
    ) -> NDArray[np.float32]:
        """Return what is to be learnt of patches whatever is changed in them, float32 (N,).

        Always in batches of one size, so that a training that goes on is told the same.

        Args:
            images: uint8 (M, H, W, 3), the set's.
            rows: Of the patches among them, (N,).
            labels: Theirs, (N,).
            preprocess: Of the network.
            ranks: Each process asks about its share.
        """
        own, device = rows[ranks.share(len(rows))], self._compute.device
        said, done = torch.empty(len(own), device=device), 0
        with Progress("teachers", len(own), quiet=not ranks.first) as progress:
            for batch in batches(images, own, PLAIN_BATCH):
                inputs = to_input(batch.to(device), preprocess)
                said[done : done + len(batch)] = self.said(inputs)
                done += len(batch)
                progress.advance(len(batch))
        everyones = ranks.joined(said, [len(rows)]).cpu()
        return torch.lerp(torch.from_numpy(labels), everyones, self._share).numpy()

    @torch.no_grad()
    def said(self, inputs: Tensor) -> Tensor:
        """Return their mean probability, float (B,), of preprocessed patches (B, C, H, W)."""
        views = [_turned(inputs, angle) for angle in self._angles]
        with self._compute.autocast():
            each = [torch.sigmoid(n(view).float()) for n in self._networks for view in views]
        return torch.stack(each).mean(0)


def _turned(inputs: Tensor, degrees: float) -> Tensor:
    if not degrees or not len(inputs):  # a process may have no share of a small batch
        return inputs
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    matrix = torch.tensor([[cos, -sin, 0.0], [sin, cos, 0.0]], device=inputs.device)
    return interpolated(inputs.float(), matrix.expand(len(inputs), 2, 3))
