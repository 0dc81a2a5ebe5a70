"""What a training needs, checked before it starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from sentinode.config import AugmentConfig, Config, TrainConfig
from sentinode.core import hash_json
from sentinode.errors import InputError, TrainingError
from sentinode.models import Compute, ModelSpec, Network, Run, choose_compute, new_network, spec_for
from sentinode.models.encoders import has_fixed_features
from sentinode.tables import PackedSet, Split
from sentinode.train.teaching import start_of, teachers_of, weights_behind

__all__ = ["Examples", "Plan", "at_scale", "differences", "make_plan", "mlflow_uri"]


@final
@dataclass(frozen=True)
class Examples:
    """Labelled patches of a packed set.

    Attributes:
        rows: int64 (N,), their rows in the set.
        labels: float32 (N,), 0 or 1.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.rows)


@final
@dataclass(frozen=True)
class Plan:
    """A training that can start.

    Attributes:
        spec: The network, at the scale of the set.
        settings: How it is trained.
        augment: What is changed at random in training patches.
        compute: Where and in which precision.
        training: Patches that it learns from.
        validation: Patches that choose the epoch.
        start: Run from whose weights it starts, None where they are drawn.
        teachers: Runs whose probabilities are learnt beside the labels.
        embedded: Whether a frozen encoder's features, computed once, take the patches' place.
        made_from: All that shapes the weights, as plain JSON: ``config`` and ``inputs``.
    """

    spec: ModelSpec
    settings: TrainConfig
    augment: AugmentConfig
    compute: Compute
    training: Examples
    validation: Examples
    start: Run | None
    teachers: tuple[Run, ...]
    embedded: bool
    made_from: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of ``made_from``: equal plans, equal weights."""
        return hash_json(self.made_from)

    def first_network(self) -> Network:
        """Return the network with the weights that training starts from.

        Raises:
            CheckpointError: The run that it is to start from is damaged.
        """
        if self.start is not None:
            return self.start.load()
        return new_network(self.spec, self.settings.seed)


def make_plan(
    packed: PackedSet, split: Split, config: Config, spec: ModelSpec | None = None
) -> Plan:
    """Check that a training can succeed, and settle all it depends on.

    Args:
        packed: The set.
        split: Of this set.
        config: Its ``model``, ``train`` and ``augment`` sections are used.
        spec: The network where it is not one known by name.

    Raises:
        InputError: Split or patch size do not fit, a patch to learn from has no label, or MLflow
            is to be told and no server is named.
        TrainingError: A fold is empty or has one class only.
    """
    split.check_belongs(packed.manifest.hash, packed.folder / "split.json")
    spec = at_scale(spec or spec_for(config.model), packed)
    settings = config.train
    if "mlflow" in settings.log:
        mlflow_uri(settings)
    start, teachers = start_of(settings, spec), teachers_of(settings, spec)
    changed = config.augment.changes_pixels or config.augment.mixup > 0
    embedded = config.model.cache and has_fixed_features(spec) and not (changed or teachers)
    made_from = {
        "config": {
            "model": spec.model_dump(mode="json"),
            "train": settings.fingerprint(),
            "augment": config.augment.fingerprint(),
        },
        "inputs": {
            "set": packed.meta.content_hash,
            "manifest": packed.manifest.hash,
            "split": split.hash,
        }
        | weights_behind(settings)
        | ({"patches": "embedded"} if embedded else {}),
    }
    return Plan(
        spec=spec,
        settings=settings,
        augment=config.augment,
        compute=choose_compute(settings.device, settings.precision, settings.threads),
        training=_examples(packed, split, "train"),
        validation=_examples(packed, split, "valid"),
        start=start,
        teachers=teachers,
        embedded=embedded,
        made_from=made_from,
    )


def mlflow_uri(settings: TrainConfig) -> str:
    """Return the MLflow server that a training is told to.

    Raises:
        InputError: None is named.
    """
    uri = settings.mlflow_uri or os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri:
        raise InputError(
            "train.log names mlflow, but no server: give --set train.mlflow_uri=http://HOST:PORT "
            "(or a database, sqlite:///FILE), or set MLFLOW_TRACKING_URI"
        )
    return uri


def differences(made_from: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Name what differs between two plans, as in ``train.epochs`` or ``split``."""
    ours, theirs = _flat(made_from), _flat(other)
    return sorted(
        name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)
    )


def _flat(made_from: Mapping[str, Any]) -> dict[str, Any]:
    config = made_from.get("config", {})
    keys = {
        f"{section}.{key}": value
        for section in ("train", "pretrain", "augment")
        for key, value in config.get(section, {}).items()
    }
    return {**keys, "model": config.get("model"), **made_from.get("inputs", {})}


def at_scale(spec: ModelSpec, packed: PackedSet) -> ModelSpec:
    """Return the network at the set's scale; InputError where its patches have another size."""
    size = spec.preprocess.size
    if packed.meta.size != size:
        raise InputError(
            f"{spec.name} takes patches of {size} px, {packed.folder} has {packed.meta.size} px; "
            f"pack the source again with --set pack.resize={size}"
        )
    if packed.meta.mpp is None:
        return spec
    scaled = spec.preprocess.model_copy(update={"mpp": packed.meta.mpp})
    return spec.model_copy(update={"preprocess": scaled})


def _examples(packed: PackedSet, split: Split, fold: str) -> Examples:
    frame = packed.manifest.frame
    in_fold = split.folds_of(frame["id"]).isin([fold]).to_numpy(bool)
    rows = np.flatnonzero(packed.manifest.usable & in_fold)
    labels = frame["label"].iloc[rows]
    if labels.isna().any():
        raise InputError(
            f"patch {frame['id'].iloc[rows[labels.isna().to_numpy()][0]]!r} is in fold {fold} and "
            f"has no label; split the set again: sentinode split {packed.folder}"
        )
    found = sorted(set(labels.astype(int)))
    if found != [0, 1]:
        came = f"only label {found[0]}" if found else "no patch"
        raise TrainingError(
            f"fold {fold} needs patches of both classes, got {came}; see the folds' balance with "
            f"sentinode split {packed.folder}"
        )
    return Examples(rows.astype(np.int64), labels.to_numpy("float32"))
