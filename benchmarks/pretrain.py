"""Pretraining without labels, by a contrast between patches, for nodenet to start from.

Two changed pictures of a patch are to have like features, and pictures of other patches unlike
ones (Chen et al., SimCLR, ICML 2020). Only training patches are shown, and no label is. OUT
becomes a run folder for `--set train.start=OUT`; its last layer is as it was drawn.

    python benchmarks/pretrain.py SET OUT [--model nodenet-small] [--epochs 20] [--seed 42]

SET is a packed set with its split.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from sentinode.config import AugmentConfig, load_config
from sentinode.core import Progress, hash_file, hash_json, provenance
from sentinode.data.loader import batches, epoch_order, to_input
from sentinode.models import (
    SPEC_FILE,
    WEIGHTS_FILE,
    Network,
    RunRecord,
    new_network,
    save_checkpoint,
    state_of,
)
from sentinode.models.nodenet import NodeNet
from sentinode.tables import PackedSet, Split
from sentinode.train import make_plan
from sentinode.train.augment import augmented
from sentinode.train.average import MovingAverage
from sentinode.train.plan import Plan

BATCH = 256
TEMPERATURE = 0.2
RATE, WEIGHT_DECAY, BETAS, CLIP, AVERAGE = 4e-3, 0.05, (0.9, 0.99), 1.0, 0.99
PROJECTED = (256, 128)
CHANGES = AugmentConfig(
    shift=6, turn=180, zoom=0.25, stain=0.5, stain_offset=0.12, light=0.1, blur=0.8
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("packed", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--model", default="nodenet-small")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=42)
    given = parser.parse_args()
    packed = PackedSet.open(given.packed)
    split = Split.read(given.packed / "split.json")
    config = load_config(
        Path(given.model), [f"train.seed={given.seed}", "train.teachers=[]", "train.device=cpu"]
    )
    plan = make_plan(packed, split, config)
    network = new_network(plan.spec, given.seed)
    for average, history in contrast(plan, packed, network, given.epochs):
        keep(given.out, plan, {"set": packed.manifest.hash, "split": split.hash}, average, history)


def keep(
    out: Path,
    plan: Plan,
    inputs: dict[str, str],
    network: Network,
    history: list[dict[str, float]],
) -> None:
    """Write the run of the epochs so far, of which the last is the best."""
    made_from = {
        "model": plan.spec.model_dump(mode="json"),
        "epochs": len(history),
        "augment": CHANGES.model_dump(mode="json"),
    }
    seeds = {"train": plan.settings.seed}
    made = provenance("pretrain", config=made_from, inputs=inputs, seeds=seeds)
    save_checkpoint(out, plan.spec, state_of(network))
    RunRecord(
        fingerprint=hash_json({"config": made.config, "inputs": made.inputs, "seeds": seeds}),
        provenance=made,
        compute=plan.compute.settings(),
        best_epoch=None,
        stopped="epochs",
        patches={"train": len(plan.training)},
        metrics={},
        files={name: hash_file(out / name) for name in (SPEC_FILE, WEIGHTS_FILE)},
        timing={"epochs": history},
    ).write(out)


@final
class Contrasted(nn.Module):
    """The pooled features of a nodenet, projected to where they are compared."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        assert isinstance(network, NodeNet)
        self.features, self.pool = network.features, network.head.get_submodule("pool")
        logit = network.head.get_submodule("logit")
        assert isinstance(logit, nn.Conv2d)
        hidden, out = PROJECTED
        self.projection = nn.Sequential(
            nn.Linear(logit.in_channels, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, out),
        )

    def forward(self, patches: Tensor) -> Tensor:
        """Return (N, 128) of patches (N, C, 96, 96)."""
        projected: Tensor = self.projection(self.pool(self.features(patches)).flatten(1))
        return projected


def told_apart(projected: Tensor) -> tuple[Tensor, float]:
    """Return the loss of 2 B pictures, the second half of the same patches as the first.

    Returns:
        The mean cross-entropy of finding each picture's other among all, and the share found.
    """
    n = len(projected)
    unit = normalize(projected)
    alike = (unit @ unit.T / TEMPERATURE).masked_fill(torch.eye(n, dtype=torch.bool), -torch.inf)
    other = torch.arange(n).roll(n // 2)
    found = (alike.argmax(1) == other).float().mean()
    return cross_entropy(alike, other), float(found)


def contrast(
    plan: Plan, packed: PackedSet, network: Network, epochs: int
) -> Iterator[tuple[Network, list[dict[str, float]]]]:
    """Pretrain ``network``; after each epoch, give its average and what all so far came to."""
    seed, rows, images = plan.settings.seed, plan.training.rows, packed.images
    plan.compute.place(network)
    seen = Contrasted(network).to(plan.compute.device)
    average = MovingAverage(network, AVERAGE)
    optimizer = torch.optim.AdamW(seen.parameters(), RATE, BETAS, weight_decay=WEIGHT_DECAY)
    each = len(rows) // BATCH
    history, step = [], 0
    with Progress("pretrain", epochs * each * BATCH) as progress:
        for epoch in range(1, epochs + 1):
            start, losses, found = time.perf_counter(), [], []
            order = epoch_order(len(rows), seed, epoch)[: each * BATCH]
            for batch in batches(images, rows[order], BATCH):
                step += 1
                falling = 0.5 * (1 + math.cos(math.pi * step / (epochs * each)))
                optimizer.param_groups[0]["lr"] = RATE * min(1, step / each) * falling
                rng = np.random.default_rng((seed, epoch, step))
                shown = torch.cat([augmented(batch, CHANGES, rng) for _ in range(2)])
                with plan.compute.autocast():
                    projected = seen(to_input(shown, plan.spec.preprocess))
                loss, share = told_apart(projected.float())
                loss.backward()
                nn.utils.clip_grad_norm_(seen.parameters(), CLIP)
                optimizer.step()
                optimizer.zero_grad()
                average.update(network, step)
                losses.append(float(loss.detach()))
                found.append(share)
                progress.advance(len(batch), epoch=str(epoch), loss=losses[-1])
            seconds = time.perf_counter() - start
            means = {"loss": float(np.mean(losses)), "found": float(np.mean(found))}
            history.append({"epoch": epoch, **means, "seconds": seconds})
            progress.say(", ".join(f"{name} {value:.4g}" for name, value in history[-1].items()))
            yield average.network, history


if __name__ == "__main__":
    main()
