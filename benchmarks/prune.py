"""A narrower nodenet out of a trained one: features that its logits miss least are taken out.

Of the first two stages, one after the other, that feature goes without which the logits of some
training patches move least (mean square), the statistics of batch normalisation measured anew each
time; then the next. The run written is a start: it has to be trained on.

Run: python benchmarks/prune.py RUN SET --widths 5 9 --name nodenet-half --out START
"""

from __future__ import annotations

import argparse
import copy
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sentinode.data.loader import to_input
from sentinode.errors import InputError
from sentinode.models import (
    ModelSpec,
    Run,
    build,
    record_weights,
    resolve_run,
    save_checkpoint,
    state_of,
)
from sentinode.models.nodenet import NodeNet, nodenet
from sentinode.models.orbit import ORIENTATIONS, OrbitNorm
from sentinode.tables import PackedSet, Split

STATISTICS, JUDGED = 192, 384  # training patches
STAGES = {
    "a": ["norm", *(f"residual_a{i}.norm" for i in (1, 2, 3))],
    "b": ["norm_b", *(f"residual_b{i}.norm" for i in (1, 2, 3, 4))],
}
Gone = dict[str, list[int]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="Run folder, or name of shipped weights.")
    parser.add_argument("set", type=Path)
    parser.add_argument("--widths", type=int, nargs=2, required=True, help="Of the first stages.")
    parser.add_argument("--name", required=True, help="Of the network made.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=3, help="Draws the patches.")
    given = parser.parse_args()
    run = resolve_run(given.run)
    network = run.load().to(memory_format=torch.channels_last)
    if not isinstance(network, NodeNet) or len(network.members) > 1:
        parser.error(f"{given.run} is not one nodenet")
    if not all(1 <= n <= had for n, had in zip(given.widths, network.members[0], strict=False)):
        parser.error(f"--widths are at least 1 and at most {network.members[0][:2]}")
    if given.out.exists() and any(given.out.iterdir()):
        parser.error(f"{given.out} is not empty")
    statistics, judged = patches(given.set, run, given.seed)
    with torch.no_grad():
        wanted = network(judged)
        gone, errors = chosen(network, given.widths, statistics, judged, wanted)
        kept = narrowed(without(network, gone, statistics), gone)
        widths = [*given.widths, network.members[0][2]]
        spec = nodenet(given.name, widths, network.dropout)
        spec = spec.model_copy(update={"preprocess": run.spec.preprocess})
        made = build(spec)
        made.load_state_dict(kept)
        moved = float((made.eval()(judged) - wanted).square().mean())
    write(given.out, run, spec, made, {"gone": gone, "seed": given.seed})
    said = {"gone": gone, "errors": errors, "error": moved, "variance": float(wanted.var())}
    print(json.dumps(said, indent=2))


def patches(folder: Path, run: Run, seed: int) -> tuple[Tensor, Tensor]:
    """Return two lots of training patches, as the network sees them."""
    packed = PackedSet.open(folder)
    split = Split.read(folder / "split.json")
    known = run.record.provenance.inputs
    if (known.get("set"), known.get("split")) != (packed.meta.content_hash, split.hash):
        raise InputError(f"{run.folder} was trained on another set than {folder}, or another split")
    folds = split.folds_of(packed.manifest.frame["id"])
    rows = np.flatnonzero(packed.manifest.usable & (folds == "train").to_numpy(bool))
    rng = np.random.default_rng(seed)
    lots = [np.sort(rng.choice(rows, n, replace=False)) for n in (STATISTICS, JUDGED)]
    images = [torch.from_numpy(np.ascontiguousarray(packed.images[lot])) for lot in lots]
    first, second = (
        to_input(lot, run.spec.preprocess).contiguous(memory_format=torch.channels_last)
        for lot in images
    )
    return first, second


def chosen(
    network: NodeNet, widths: list[int], statistics: Tensor, judged: Tensor, wanted: Tensor
) -> tuple[Gone, list[float]]:
    """Return which features go, and how far the logits have moved after each."""
    gone: Gone = {stage: [] for stage in STAGES}
    errors = []
    for stage, before, after in zip(STAGES, network.members[0], widths, strict=False):
        while before - len(gone[stage]) > after:
            tried = {}
            for feature in set(range(before)) - set(gone[stage]):
                fewer = without(network, {**gone, stage: [*gone[stage], feature]}, statistics)
                tried[feature] = float((fewer(judged) - wanted).square().mean())
            worst = min(tried, key=lambda feature: tried[feature])
            gone[stage].append(worst)
            errors.append(tried[worst])
            print(stage, worst, round(tried[worst], 4), flush=True)
    return gone, errors


def without(network: NodeNet, gone: Gone, statistics: Tensor) -> NodeNet:
    """Return a copy in which some features are always zero and the statistics fit that."""
    made = copy.deepcopy(network)
    for stage, features in gone.items():
        for name in STAGES[stage]:
            norm = made.features.get_submodule(name)
            assert isinstance(norm, OrbitNorm)
            norm.weight[features] = norm.bias[features] = 0
    norms = [module for module in made.modules() if isinstance(module, OrbitNorm)]
    for norm in norms:
        norm.train().momentum = 1.0
    made(statistics)
    return made.eval()


def narrowed(network: NodeNet, gone: Gone) -> dict[str, Tensor]:
    """Return the weights without the features that are gone."""
    kept = {
        stage: [f for f in range(width) if f not in gone[stage]]
        for stage, width in zip(STAGES, network.members[0], strict=False)
    }
    return {
        name: _kept_of(name.split(".")[1], values, kept) if name.startswith("features") else values
        for name, values in state_of(network).items()
    }


def _kept_of(layer: str, values: Tensor, kept: Gone) -> Tensor:
    """Return a layer's tensor without the features that are gone, behind it and before it."""
    in_a = layer in ("lift", "norm") or layer.startswith("residual_a")
    in_b = layer.endswith("_b") or layer.startswith("residual_b")
    behind = "a" if in_a else "b" if in_b else None
    before = {"lift": None, "conv_b": "a", "conv_c": "b"}.get(layer, behind)
    rest = values[kept[behind]] if behind else values
    if rest.ndim == 4 and before:
        each = rest.reshape(len(rest), -1, ORIENTATIONS, *rest.shape[2:])
        rest = each[:, kept[before]].flatten(1, 2)
    return rest.contiguous().clone()


def write(out: Path, run: Run, spec: ModelSpec, network: torch.nn.Module, how: dict) -> None:
    """Write the run to start from."""
    save_checkpoint(out, spec, state_of(network))
    config = {"model": spec.model_dump(mode="json"), **how}
    inputs = run.record.provenance.inputs | {"pruned": run.weights_hash}
    patches, behind = run.record.patches, run.record.behind
    record_weights(out, "prune", "pruned", config, inputs, patches=patches, behind=behind)


if __name__ == "__main__":
    main()
