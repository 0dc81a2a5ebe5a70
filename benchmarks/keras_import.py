"""Networks that Keras 2 and 3 saved: do they give the same probabilities when imported?

    python benchmarks/keras_import.py SET [--patches 500] [--env DIR] [--out FILE.json]

SET is a packed set. Keras stands in an environment of its own, made in DIR if it is not there
(about 2 GB); golden files for the tests are made by the same `peers/keras_models.py`, on patches
of 16 px: --golden tests/models/golden.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import venv
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from sentinode.models import choose_compute, import_keras
from sentinode.predict import forward
from sentinode.tables import PackedSet

PEER = Path(__file__).parent / "peers/keras_models.py"
NEEDS = ("keras==3.15.1", "tensorflow-cpu==2.21.0", "tf_keras==2.21.0")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("packed", type=Path)
    parser.add_argument("--patches", type=int, default=500)
    parser.add_argument("--env", type=Path, default=Path("out/keras-env"))
    parser.add_argument("--golden", type=Path)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    packed = PackedSet.open(args.packed)
    images = np.ascontiguousarray(packed.images[:: max(1, len(packed.images) // args.patches)])
    python = _python(args.env)
    if args.golden:
        # synthetic, so that no patch of anybody is kept
        rng = np.random.default_rng(3)
        small = (rng.random((12, 16, 16, 3)) * rng.uniform(40, 256, (12, 1, 1, 3))).astype(np.uint8)
        args.golden.mkdir(parents=True, exist_ok=True)
        np.save(args.golden / "images.npy", small)
        _keras(python, args.golden / "images.npy", args.golden, 0.1)
    with TemporaryDirectory() as folder:
        np.save(Path(folder) / "images.npy", images)
        _keras(python, Path(folder) / "images.npy", Path(folder), 1.0)
        rows = [_row(file, images) for file in sorted(Path(folder).glob("*-keras*.*[5s]"))]
    for row in rows:
        print(json.dumps(row))
    if args.out:
        args.out.write_text(json.dumps({"patches": len(images), "rows": rows}, indent=1) + "\n")


def _python(env: Path) -> Path:
    python = env / "bin/python"
    if not python.exists():
        venv.create(env, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *NEEDS], check=True)
    return python


def _keras(python: Path, images: Path, out: Path, width: float) -> None:
    for version in ("2", "3"):
        command = [python, PEER, version, images, out, "--width", str(width)]
        subprocess.run(command, check=True, stdout=sys.stderr)


def _row(file: Path, images: np.ndarray) -> dict[str, object]:
    run = import_keras(
        file,
        file.with_name(file.name + "-run"),
        pixels="0-255" if file.name.startswith("odd") else "0-1",
    )
    network = run.load()
    compute = choose_compute("cpu", "float32")
    compute.place(network)
    batches = torch.from_numpy(images).split(64)
    logits = forward(network, batches, run.spec.preprocess, compute)
    ours = 1 / (1 + np.exp(-logits.astype(np.float64)))
    theirs = np.load(file.with_suffix(".npy"))
    return {
        "file": file.name,
        "largest_difference": float(np.abs(ours - theirs).max()),
        "spread": [round(float(v), 4) for v in (theirs.min(), np.median(theirs), theirs.max())],
    }


if __name__ == "__main__":
    main()
