"""Prediction: runtimes and precisions beside Keras, in one run.

    python benchmarks/predict.py SET [--colour RUN] [--patches 2000] [--files 4000] [--repeats 5]
                                     [--work DIR] [--env DIR] [--out FILE.json]

SET is a packed set with a split. The colour baseline is RUN, or is trained here for two epochs; its
weights go into the same network in Keras on TensorFlow, which stands in an environment of its own,
made in --env if it is not there (about 2 GB). Rounds alternate between the ways, and each ratio is
the median over rounds.

- memory: patches in memory to probabilities. Keras gets float32 in 0..1, batch 64, as the first
  notebook gives it; ours get uint8.
- files: TIFF files to a CSV. Keras's time starts with its network loaded, ours with the process.
- one image: the whole process, from a cold start.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

from sentinode.config import PredictConfig
from sentinode.core import cores, processor_name, run_folder
from sentinode.metrics import roc_auc
from sentinode.models import Run
from sentinode.predict import Export, exports_in, runtime_of
from sentinode.tables import PackedSet, Split

PEER = Path(__file__).parent / "peers/keras_predict.py"
NEEDS = ("keras==3.15.1", "tensorflow-cpu==2.21.0", "opencv-python-headless", "pandas")
BATCH = 32
SAMPLE_S = 0.02


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("packed", type=Path)
    parser.add_argument("--colour", type=Path)
    parser.add_argument("--patches", type=int, default=2000)
    parser.add_argument("--files", type=int, default=4000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--work", type=Path, default=Path("out/benchmark-predict"))
    parser.add_argument("--env", type=Path, default=Path("out/keras-predict-env"))
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    colour = Run.open(args.colour or _trained(args.packed, args.work / "colour"))
    nodenet = Run.open(run_folder("nodenet-base"))
    images, labels = _reported(PackedSet.open(args.packed), args.patches)
    np.save(args.work / "images.npy", images)
    exports = {run.spec.name: _exports(run, args) for run in (colour, nodenet)}
    keras = _Keras(_python(args.env), colour, args.work)
    rows = _memory(colour, exports[colour.spec.name], images, labels, keras, args)
    rows += _memory(nodenet, exports[nodenet.spec.name], images, labels, None, args)
    rows += _files(args.work / "exports" / colour.spec.name, images, keras, args)
    rows.append(_one_image(args.work / "exports" / nodenet.spec.name, args))
    if args.out:
        machine = {"processor": processor_name(), "cores": cores(), "keras": keras.version}
        args.out.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


def _trained(packed: Path, folder: Path) -> Path:
    if not (folder / "run.json").is_file():
        _sentinode("train", str(packed), "--out", str(folder), "--set", "train.epochs=2")
    return folder


def _reported(packed: PackedSet, count: int) -> tuple[np.ndarray, np.ndarray]:
    folds = Split.read(packed.folder / "split.json").folds_of(packed.manifest.frame["id"])
    rows = np.flatnonzero((folds == "test").fillna(False) & packed.manifest.usable)
    rows = rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)]
    return packed.images[rows], packed.manifest.frame["label"].iloc[rows].to_numpy(int)


def _exports(run: Run, args: argparse.Namespace) -> list[Export]:
    folder = args.work / "exports" / run.spec.name
    made = exports_in(folder) if folder.is_dir() else []
    if not made or made[0].record.weights_sha256 != run.weights_hash:
        command = ["export", str(run.folder), "--out", str(folder), "--format", "onnx,openvino"]
        command += ["--precision", "float32,bfloat16,int8", "--check-set", str(args.packed)]
        _sentinode(*command, "--force")
    return exports_in(folder)


def _memory(
    run: Run,
    exports: list[Export],
    images: np.ndarray,
    labels: np.ndarray,
    keras: _Keras | None,
    args: argparse.Namespace,
) -> list[dict[str, Any]]:
    config = PredictConfig(device="cpu")
    given: list[tuple[str, Run | Export, PredictConfig]] = [
        ("torch float32", run, config.model_copy(update={"precision": "float32"})),
        ("torch bfloat16", run, config.model_copy(update={"precision": "bfloat16"})),
        *[(export.title, export, config) for export in exports],
    ]
    ways: dict[str, Callable[[], tuple[float, np.ndarray]]] = {}
    if keras is not None:
        ways["keras float32"] = lambda: keras.memory(args.work)
    for name, source, settings in given:
        ways[name] = _way(runtime_of(source, settings, BATCH), images)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    scores: dict[str, float] = {}
    for _ in range(args.repeats):
        for name, way in ways.items():
            took, found = way()
            seconds[name].append(took)
            scores[name] = roc_auc(labels, found)
    base = "keras float32" if keras is not None else "torch float32"
    rows = []
    for name, taken in seconds.items():
        rows.append(
            {
                "what": f"memory: {run.spec.name}, {name}",
                "patches_per_s": round(len(images) / statistics.median(taken), 1),
                f"times {base}": _ratio(seconds[base], taken),
                "auc": round(scores[name], 5),
                "auc_change": round(scores[name] - scores[base], 5),
                "runs_s": [round(s, 4) for s in taken],
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    return rows


def _way(runtime: Any, images: np.ndarray) -> Callable[[], tuple[float, np.ndarray]]:
    runtime.logits(images[:BATCH])  # the first call sets up

    def measure() -> tuple[float, np.ndarray]:
        start = time.perf_counter()
        starts = range(0, len(images), BATCH)
        logits = np.concatenate([runtime.logits(images[i : i + BATCH]) for i in starts])
        found = 1 / (1 + np.exp(-logits.astype(np.float64)))
        return time.perf_counter() - start, found

    return measure


def _files(
    exports: Path, images: np.ndarray, keras: _Keras, args: argparse.Namespace
) -> list[dict[str, Any]]:
    folder = args.work / "test"
    if not folder.is_dir() or len(list(folder.iterdir())) != args.files:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for number in range(args.files):
            Image.fromarray(images[number % len(images)]).save(folder / f"{number:06d}.tif")
    ways = {
        "keras": lambda: (keras.files(folder, args.work / "keras.csv"), 0),
        **{
            name: _command(exports / name, folder, args.work / f"{name}.csv")
            for name in ("openvino-float32", "openvino-bfloat16", "openvino-int8")
            if (exports / name).is_dir()
        },
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    peaks = dict.fromkeys(ways, 0)
    for _ in range(args.repeats):
        for name, way in ways.items():
            took, peak = way()
            seconds[name].append(took)
            peaks[name] = max(peaks[name], peak)
    rows = []
    for name, taken in seconds.items():
        row: dict[str, Any] = {
            "what": f"files: baseline-colour, {name}",
            "patches_per_s": round(args.files / statistics.median(taken), 1),
            "times keras": _ratio(seconds["keras"], taken),
            "runs_s": [round(s, 3) for s in taken],
        }
        if peaks[name]:
            row["peak_anonymous_mb"] = round(peaks[name] / 1e6)
        rows.append(row)
        print(json.dumps(row), flush=True)
    return rows


def _command(export: Path, given: Path, out: Path) -> Callable[[], tuple[float, int]]:
    return lambda: _sentinode("predict", str(export), str(given), "--out", str(out))


def _one_image(exports: Path, args: argparse.Namespace) -> dict[str, Any]:
    image = next(iter(sorted((args.work / "test").iterdir())))
    row: dict[str, Any] = {"what": "one image from a cold start: nodenet-base, seconds"}
    for name in ("onnx-float32", "openvino-float32", "openvino-int8"):
        way = _command(exports / name, image, args.work / "one.csv")
        row[name] = round(statistics.median(way()[0] for _ in range(args.repeats)), 2)
    print(json.dumps(row), flush=True)
    return row


class _Keras:
    """The peer's process, its network loaded."""

    def __init__(self, python: Path, run: Run, work: Path) -> None:
        weights = work / "keras-weights.npz"
        np.savez(weights, **{f"{n:03d}": w for n, w in enumerate(_in_keras_order(run))})
        command = [str(python), str(PEER), str(weights)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.version = self._answer()["keras"]
        self.memory(work)  # the first call builds its graph

    def memory(self, work: Path) -> tuple[float, np.ndarray]:
        """Predict the patches in memory."""
        seconds = self._ask(f"memory {work / 'images.npy'} {work / 'keras.npy'}")
        return seconds, np.load(work / "keras.npy")

    def files(self, folder: Path, out: Path) -> float:
        """Predict a folder of files into a CSV."""
        return self._ask(f"files {folder} {out}")

    def _ask(self, line: str) -> float:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return float(self._answer()["seconds"])

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit("the Keras process ended; see above")
        return dict(json.loads(line))


def _in_keras_order(run: Run) -> list[np.ndarray]:
    state = {name: tensor.numpy() for name, tensor in run.load().state_dict().items()}
    found = []
    for name, value in state.items():
        kind = name.rpartition(".")[2]
        if kind == "num_batches_tracked":
            continue
        axes = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}[value.ndim]
        found.append(value.transpose(axes))
    return found


def _python(env: Path) -> Path:
    python = env / "bin/python"
    if not python.exists():
        venv.create(env, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *NEEDS], check=True)
    return python


def _sentinode(*arguments: str) -> tuple[float, int]:
    """Run a command; return its seconds and its peak anonymous memory."""
    start, peak = time.perf_counter(), 0
    process = psutil.Popen(
        [sys.executable, "-m", "sentinode", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    while process.poll() is None:
        try:
            memory = process.memory_info()
            peak = max(peak, memory.rss - memory.shared)
        except psutil.Error:
            continue
        time.sleep(SAMPLE_S)
    seconds = time.perf_counter() - start
    if process.returncode:
        sys.exit(f"sentinode {' '.join(arguments)}: {process.stderr.read().decode()}")
    return seconds, peak


def _ratio(slow: list[float], fast: list[float]) -> float:
    return round(statistics.median(s / f for s, f in zip(slow, fast, strict=True)), 2)


if __name__ == "__main__":
    main()
