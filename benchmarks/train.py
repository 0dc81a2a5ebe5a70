"""The colour baseline's training speed beside Keras 3 on TensorFlow, and both beside the peak.

    python benchmarks/train.py SET [--patches 1024] [--rounds 5] [--env DIR] [--out FILE.json]

SET is a packed set with its split. The same patches in batches of 32 are trained on by this
package and by Keras, each in float32 and with bfloat16, one process each. One epoch warms up; then
the four take turns, an epoch each, so that what else the machine does meets all alike. Ours is
`sentinode.train` as the command calls it, its own wall time of the epoch's training; Keras's is
`fit` on float32 patches in memory. Medians over the rounds. The peak is a matrix product measured
between the turns; the share of it counts the products of convolutions and dense layers, forward
and backward.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from peers.environment import NEEDS, keras_python
from sentinode.config import load_config
from sentinode.core import cores, processor_name
from sentinode.models import new_network, spec
from sentinode.tables import PackedSet, Split
from sentinode.train import train

PEER = Path(__file__).parent / "peers/keras_train.py"
PRECISIONS = ("float32", "bfloat16")
SIDE = 4096  # of the matrices whose product is the peak


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("packed", type=Path)
    parser.add_argument("--patches", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--env", type=Path, default=Path("out/keras-env"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--ours", choices=PRECISIONS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.ours:
        _train_when_told(args)
        return
    torch.set_num_threads(args.threads)
    with TemporaryDirectory() as folder:
        workers = _start(args, Path(folder))
        try:
            rows = _measure(workers, args)
        finally:
            for worker in workers.values():
                worker.kill()
                worker.wait()
    result = _summary(rows, args)
    print(json.dumps(result["summary"], indent=1))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result, indent=1) + "\n")


def _chosen(packed: PackedSet, count: int) -> Split:
    """Return the set's split with ``count`` training patches, and few others that choose."""
    split = Split.read(packed.folder / "split.json")
    labels = dict(zip(packed.manifest.frame["id"], packed.manifest.frame["label"], strict=True))
    units: dict[str, dict[str, tuple[str, ...]]] = {fold: {} for fold in split.units}
    for fold, wanted in (("train", count), ("valid", 64)):
        ids = [name for unit in split.units[fold].values() for name in unit]  # type: ignore[index]
        halves = [[i for i in ids if labels[i] == label][: wanted // 2] for label in (0, 1)]
        units[fold] = {name: (name,) for half in halves for name in half}
    return split.model_copy(update={"units": units})


def _train_when_told(args: argparse.Namespace) -> None:
    """Train as the command does; before every epoch wait for a line."""
    packed = PackedSet.open(args.packed)
    settings = [f"train.precision={args.ours}", f"train.threads={args.threads}"]
    config = load_config(None, ["train.epochs=1000", "train.patience=none", *settings])
    with TemporaryDirectory() as folder:
        out = Path(folder) / "run"

        def tell(row: Any) -> None:
            timing = json.loads((out / "state/state.json").read_text())["timing"]
            said = {"seconds": timing[-1]["train_s"], "loss": row["loss"]}
            print(json.dumps(said), flush=True)
            if not sys.stdin.readline():
                raise KeyboardInterrupt

        sys.stdin.readline()
        train(packed, _chosen(packed, args.patches), config, out, after_epoch=tell)


def _start(args: argparse.Namespace, folder: Path) -> dict[str, subprocess.Popen[str]]:
    packed = PackedSet.open(args.packed)
    frame = packed.manifest.frame
    split = _chosen(packed, args.patches)
    rows = np.flatnonzero(split.folds_of(frame["id"]).isin(["train"]).to_numpy(bool))
    np.save(folder / "images.npy", packed.images[rows])
    np.save(folder / "labels.npy", frame["label"].iloc[rows].to_numpy(np.float32))
    python = keras_python(args.env)
    common = ["--threads", str(args.threads)]
    given = [str(args.packed), "--patches", str(args.patches), *common]
    commands = {}
    for precision in PRECISIONS:
        arrays = [str(folder / "images.npy"), str(folder / "labels.npy")]
        peer = [str(python), str(PEER), *arrays, "--precision", precision]
        commands[f"keras {precision}"] = peer + common
        commands[f"sentinode {precision}"] = [sys.executable, __file__, *given, "--ours", precision]
    return {
        name: subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        for name, command in commands.items()
    }


def _measure(workers: dict[str, subprocess.Popen[str]], args: argparse.Namespace) -> list[Any]:
    rows = []
    for number in range(args.rounds + 1):
        for name, worker in workers.items():
            assert worker.stdin is not None
            assert worker.stdout is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
            answer = worker.stdout.readline()
            if not answer:
                sys.exit(f"{name} ended early; its error stands above")
            rows.append({"round": number, "what": name, **json.loads(answer)})
        for precision in PRECISIONS:
            rows.append({"round": number, "what": f"peak {precision}", **_product(precision)})
        print(f"round {number} of {args.rounds}", file=sys.stderr)
    return rows


def _product(precision: str) -> dict[str, float]:
    kind = getattr(torch, precision)
    one, two = (torch.randn(SIDE, SIDE).to(kind) for _ in range(2))
    torch.mm(one[:256], two)  # warm
    start = time.perf_counter()
    torch.mm(one, two)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "gflops": 2 * SIDE**3 / seconds / 1e9}


def _training_gflop() -> float:
    """Return 1e9 operations a patch takes: forward, and backward to weights and to inputs."""
    network = new_network(spec("baseline-colour"), 0)
    counted: list[float] = []

    def count(module: Any, inputs: Any, output: Any) -> None:
        place = output.shape[2:].numel() if output.ndim == 4 else 1
        forward = 2 * module.weight.numel() * place
        # No gradient is needed of the patch itself.
        counted.append(forward * (3 if counted else 2) / 1e9)

    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            module.register_forward_hook(count)
    with torch.inference_mode():
        network.eval()(torch.zeros(1, 3, 96, 96))
    return sum(counted)


def _summary(rows: list[Any], args: argparse.Namespace) -> dict[str, Any]:
    steady = [row for row in rows if row["round"]]  # the first round warms up
    median = {
        name: statistics.median(row["seconds"] for row in steady if row["what"] == name)
        for name in dict.fromkeys(row["what"] for row in steady)
    }
    peak = {p: 2 * SIDE**3 / median[f"peak {p}"] / 1e9 for p in PRECISIONS}
    patches = args.patches // 2 * 2
    gflop = _training_gflop()
    speeds = {}
    for name in ("sentinode float32", "keras float32", "sentinode bfloat16", "keras bfloat16"):
        rate = patches / median[name]
        speeds[name] = {
            "patches_per_s": round(rate, 1),
            "share_of_peak": round(rate * gflop / peak[name.split()[1]], 3),
        }
    rate = {name: speed["patches_per_s"] for name, speed in speeds.items()}
    summary = {
        "speeds": speeds,
        "peak_gflops": {p: round(value, 1) for p, value in peak.items()},
        "training_gflop_a_patch": round(gflop, 3),
        "float32, times Keras in float32": round(
            rate["sentinode float32"] / rate["keras float32"], 2
        ),
        "bfloat16, times Keras in float32": round(
            rate["sentinode bfloat16"] / rate["keras float32"], 2
        ),
        "bfloat16, times Keras in bfloat16": round(
            rate["sentinode bfloat16"] / rate["keras bfloat16"], 2
        ),
    }
    return {
        "processor": processor_name(),
        "threads": args.threads,
        "packages": {"torch": torch.__version__, "peers": NEEDS},
        "patches": patches,
        "rounds": args.rounds,
        "summary": summary,
        "runs": rows,
    }


if __name__ == "__main__":
    main()
