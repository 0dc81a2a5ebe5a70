"""Networks that another one learns from."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from sentinode.config import TrainConfig
from sentinode.errors import InputError
from sentinode.models import Compute, ModelSpec, Run, resolve_run

__all__ = ["Teachers", "teachers_of"]


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
    """What several networks say of the very patches that another one is shown.

    Hinton et al. (2015), and Beyer et al. (CVPR 2022) for showing both the same changed and mixed
    patches. Each teacher counts the same.

    Args:
        runs: The teachers, at least one.
        share: How much they count beside the labels, 0..1.
        compute: Device and precision.
    """

    def __init__(self, runs: tuple[Run, ...], share: float, compute: Compute) -> None:
        self._share, self._compute = share, compute
        self._networks = [run.load().requires_grad_(False).eval() for run in runs]
        for network in self._networks:
            compute.place(network)

    @torch.no_grad()
    def aims(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return what is to be learnt, float (B,) in 0..1.

        Args:
            inputs: float (B, C, H, W), changed, preprocessed and mixed.
            targets: float (B,), labels or their mixtures.
        """
        with self._compute.autocast():
            each = [torch.sigmoid(network(inputs).float()) for network in self._networks]
        return torch.lerp(targets, torch.stack(each).mean(0), self._share)
