"""Several nodenets made one network, whose logit is the mean of theirs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from sentinode.core import first_fault, folder_lock
from sentinode.errors import InputError
from sentinode.models.checkpoint import save_checkpoint, state_of
from sentinode.models.nodenet import BUILDER, NodeNet, nodenet
from sentinode.models.run import (
    CONFIG_FILE,
    HISTORY_FILE,
    JOINED,
    MEMBER,
    RECORD_FILE,
    STATE_FOLDER,
    Run,
    record_weights,
)
from sentinode.models.spec import ModelSpec, build
from sentinode.tables import CALIBRATION_FILE

__all__ = ["join_runs"]

LOGIT = "head.logit."
CONV = re.compile(r"(.+\.conv(?:_[a-z])?)(?:\.\d+)?\.weight")
LEARNT = ("manifest", "set", "split")
OF_A_RUN = (RECORD_FILE, HISTORY_FILE, CONFIG_FILE, CALIBRATION_FILE, STATE_FOLDER, "card.md")


def join_runs(runs: Sequence[Run], out: Path, *, name: str, force: bool = False) -> Run:
    """Make one run of several nodenets.

    They stand side by side, and its logit is the mean of their logits up to rounding, on patches
    and on regions. Each nodenet counts the same, those of a run that was joined before too. Their
    calibrations are not carried over. Only what all runs say alike of set and split is kept.

    Args:
        runs: Two at least, of any sizes, that see patches in the same way.
        out: Run folder to write.
        name: Of the network made.
        force: Replace the run that is in ``out``, or what is left of one.

    Raises:
        InputError: They do not fit together, two hold the same weights, ``out`` is one of them or
            holds a run, or the name cannot be one.
        CheckpointError: One is damaged.
    """
    networks = _networks(runs, out)
    spec = _spec_of(networks, runs[0].spec, name)
    build(spec, device="meta")  # which judges the widths
    states = [state_of(network) for network in networks]
    state = _joined(states, _weights_of(networks))
    inputs = _common([run.record.provenance.inputs for run in runs], LEARNT)
    members = [member for run in runs for member in run.members or [run.weights_hash]]
    if len(set(members)) < len(members) or any(
        _equal(one, other) for one, other in combinations(states, 2)
    ):
        raise InputError("two of the runs hold the same weights, or one that the other holds too")
    same_patches = {"set", "split"} <= set(inputs)
    inputs |= {f"{MEMBER}{n}": member for n, member in enumerate(members, 1)}
    patches = [run.record.patches for run in runs]
    config = {"model": spec.model_dump(mode="json")}
    with folder_lock(out):
        _make_room(out, force)
        save_checkpoint(out, spec, state)
        return record_weights(
            out,
            JOINED,
            "joined",
            config,
            inputs,
            patches=_common(patches, ("train", "valid")) if same_patches else {},
            behind=next((run.record.behind for run in runs if run.record.behind), None),
        )


def _networks(runs: Sequence[Run], out: Path) -> list[NodeNet]:
    if len(runs) < 2:
        raise InputError(f"two runs at least are joined, got {len(runs)}")
    first, networks = runs[0], []
    for run in runs:
        if run.taught().spec.builder != BUILDER:
            raise InputError(f"{run.folder} holds {run.spec.name}; only nodenets can be joined")
        if run.spec.preprocess != first.spec.preprocess:
            raise InputError(
                f"{run.folder} and {first.folder} see patches in different ways; take "
                "`sentinode ensemble` of their predictions"
            )
        if run.spec.licence != first.spec.licence:
            raise InputError(
                f"the weights of {run.folder} are under {run.spec.licence}, those of "
                f"{first.folder} under {first.spec.licence}; joined they would be under both"
            )
        if run.folder.resolve() == out.resolve():
            raise InputError(f"{out} is one of the runs to join; choose another --out")
        network = run.load()
        assert isinstance(network, NodeNet)
        networks.append(network)
    return networks


def _spec_of(networks: Sequence[NodeNet], like: ModelSpec, name: str) -> ModelSpec:
    widths, *beside = [each for network in networks for each in network.members]
    try:
        spec = nodenet(name, widths, networks[0].dropout, beside)
    except ValidationError as error:
        raise InputError(f"{name!r} cannot be a network's name: {first_fault(error)}") from error
    return spec.model_copy(update={"preprocess": like.preprocess, "licence": like.licence})


def _equal(state: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Tell whether all tensors are equal, under whatever name and licence they are kept."""
    same = {name: tensor.shape for name, tensor in state.items()}
    if same != {name: tensor.shape for name, tensor in other.items()}:
        return False
    return all(torch.equal(tensor, other[name]) for name, tensor in state.items())


def _make_room(out: Path, force: bool) -> None:
    """Refuse a folder with a run, or with what is left of one; where forced, remove that."""
    for path in (out / name for name in OF_A_RUN):
        if path.exists() and not force:
            raise InputError(
                f"{out} holds a run, or what is left of one ({path.name}); choose another --out, "
                "or replace it with --force"
            )
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)


def _weights_of(networks: Sequence[NodeNet]) -> list[float]:
    total = sum(len(network.members) for network in networks)
    return [len(network.members) / total for network in networks]


def _joined(states: Sequence[dict[str, Tensor]], weights: Sequence[float]) -> dict[str, Tensor]:
    convs: dict[str, list[Tensor]] = {}
    others: dict[str, list[Tensor]] = {}
    for state in states:
        for name, tensor in state.items():
            conv = CONV.fullmatch(name)
            (convs if conv else others).setdefault(conv[1] if conv else name, []).append(tensor)
    made = {name: _side_by_side(name, each, weights) for name, each in others.items()}
    for layer, kernels in convs.items():
        made |= {f"{layer}.{n}.weight": kernel for n, kernel in enumerate(kernels)}
    return made


def _side_by_side(name: str, tensors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    if not name.startswith(LOGIT):
        return torch.cat(list(tensors))
    shares = [weight * tensor for weight, tensor in zip(weights, tensors, strict=True)]
    if name == LOGIT + "bias":
        return torch.stack(shares).sum(0)
    halves = [share.chunk(2, 1) for share in shares]  # of means over orientations, of maxima
    return torch.cat([half[k] for k in (0, 1) for half in halves], 1)


def _common(tables: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> dict[str, Any]:
    """Return what all of them say alike under these keys."""
    first, *others = tables
    alike = [key for key in keys if key in first and all(t.get(key) == first[key] for t in others)]
    return {key: first[key] for key in alike}
