"""Run folders with weights drawn from a seed, as an import leaves them."""

from __future__ import annotations

from pathlib import Path

from sentinode.core import hash_file, provenance
from sentinode.models import (
    SPEC_FILE,
    WEIGHTS_FILE,
    ModelSpec,
    Run,
    RunRecord,
    new_network,
    save_checkpoint,
    state_of,
)


def untrained_run(folder: Path, spec: ModelSpec, seed: int = 0) -> Run:
    save_checkpoint(folder, spec, state_of(new_network(spec, seed)))
    RunRecord(
        fingerprint=f"{seed}",
        provenance=provenance("train", seeds={"train": seed}),
        compute={},
        best_epoch=None,
        stopped="not trained",
        metrics={},
        files={name: hash_file(folder / name) for name in (SPEC_FILE, WEIGHTS_FILE)},
        timing={},
    ).write(folder)
    return Run.open(folder)
