"""Several nodenets made one network, whose logit is the mean of theirs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sentinode.core import folder_lock, hash_file, hash_json, provenance
from sentinode.errors import InputError
from sentinode.models.checkpoint import SPEC_FILE, WEIGHTS_FILE, save_checkpoint, state_of
from sentinode.models.nodenet import BUILDER, NodeNet, nodenet
from sentinode.models.run import (
    CONFIG_FILE,
    JOINED,
    MEMBER,
    RECORD_FILE,
    Run,
    RunRecord,
    forget_run,
)
from sentinode.models.spec import ModelSpec

__all__ = ["join_runs"]

LOGIT = "head.logit."
CONV = re.compile(r"(.+\.conv(?:_[a-z])?)(?:\.\d+)?\.weight")
LEARNT = ("manifest", "set", "split")


def join_runs(runs: Sequence[Run], out: Path, *, name: str, force: bool = False) -> Run:
    """Make one run of several nodenets.

    They stand side by side, and its logit is the mean of theirs up to rounding, on patches and on
    regions. So every command takes them together, as it does one.

    Args:
        runs: Two at least, of any sizes, that see patches in the same way.
        out: Run folder to write.
        name: Of the network made.
        force: Replace the run that is in ``out``.

    Raises:
        InputError: They do not fit together, two hold the same weights, or ``out`` holds a run.
        CheckpointError: One is damaged.
    """
    networks = _networks(runs)
    spec = _spec_of(networks, runs[0].spec, name)
    state = _joined([state_of(network) for network in networks])
    with folder_lock(out):
        if (out / RECORD_FILE).is_file() and not force:
            raise InputError(f"{out} holds a run; choose another --out, or replace it with --force")
        if (out / RECORD_FILE).is_file():
            forget_run(out)
            (out / CONFIG_FILE).unlink(missing_ok=True)  # of a training, which this is not
        save_checkpoint(out, spec, state)
        config = {"model": spec.model_dump(mode="json")}
        inputs = _common([run.record.provenance.inputs for run in runs], LEARNT)
        inputs |= {f"{MEMBER}{n}": run.weights_hash for n, run in enumerate(runs, 1)}
        RunRecord(
            fingerprint=hash_json({"config": config, "inputs": inputs}),
            provenance=provenance(JOINED, config=config, inputs=inputs),
            compute={},
            best_epoch=None,
            stopped="joined",
            patches=_common([run.record.patches for run in runs], ("train", "valid")),
            metrics={},
            files={name: hash_file(out / name) for name in (SPEC_FILE, WEIGHTS_FILE)},
            timing={},
            behind=next((run.record.behind for run in runs if run.record.behind), None),
        ).write(out)
    return Run.open(out)


def _networks(runs: Sequence[Run]) -> list[NodeNet]:
    if len(runs) < 2:
        raise InputError(f"two runs at least are joined, got {len(runs)}")
    first, networks = runs[0], []
    for run in runs:
        if run.spec.builder != BUILDER:
            raise InputError(f"{run.folder} holds {run.spec.name}; only nodenets can be joined")
        if run.spec.preprocess != first.spec.preprocess:
            raise InputError(
                f"{run.folder} and {first.folder} see patches in different ways; take "
                "`sentinode ensemble` of their predictions"
            )
        network = run.load()
        assert isinstance(network, NodeNet)
        networks.append(network)
    if len({run.weights_hash for run in runs}) < len(runs):
        raise InputError("two of the runs hold the same weights, whose mean is either of them")
    return networks


def _spec_of(networks: Sequence[NodeNet], like: ModelSpec, name: str) -> ModelSpec:
    widths, *beside = [each for network in networks for each in network.members]
    spec = nodenet(name, widths, networks[0].dropout, beside)
    return spec.model_copy(update={"preprocess": like.preprocess, "licence": like.licence})


def _joined(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    convs: dict[str, list[Tensor]] = {}
    others: dict[str, list[Tensor]] = {}
    for state in states:
        for name, tensor in state.items():
            conv = CONV.fullmatch(name)
            (convs if conv else others).setdefault(conv[1] if conv else name, []).append(tensor)
    made = {name: _side_by_side(name, tensors) for name, tensors in others.items()}
    for layer, weights in convs.items():
        made |= {f"{layer}.{n}.weight": weight for n, weight in enumerate(weights)}
    return made


def _side_by_side(name: str, tensors: Sequence[Tensor]) -> Tensor:
    if name == LOGIT + "bias":
        return torch.stack(list(tensors)).mean(0)
    if name == LOGIT + "weight":  # of the means over the orientations, then of their maxima
        halves = [tensor.chunk(2, 1) for tensor in tensors]
        return torch.cat([half[k] for k in (0, 1) for half in halves], 1) / len(tensors)
    return torch.cat(list(tensors))


def _common(tables: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> dict[str, Any]:
    """Return what all of them say alike under these keys."""
    first, *others = tables
    alike = [key for key in keys if key in first and all(t.get(key) == first[key] for t in others)]
    return {key: first[key] for key in alike}
