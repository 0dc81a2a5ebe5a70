"""From image files to a trained network: this package beside the first notebook's own way.

    python benchmarks/end_to_end.py SET --work FOLDER [--scale 1] [--epochs 1] [--out FILE.json]

SET is a packed set of real patches, from which 20,000 (times --scale) TIFF files in Kaggle's layout
are written into --work. The notebook's way reads them one by one into float arrays and fits the
colour baseline with Keras; ours is `sentinode pack`, `split` and `train`, in float32 and, where the
processor computes in it, with bfloat16. Each is timed from the start of its processes to their end;
memory is the largest sum of what its processes hold for themselves (RssAnon, which leaves out what
is mapped from files).
All files are read once before, so that all find them in the system's cache.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

from peers.environment import NEEDS, keras_python
from sentinode.core import cores, processor_name
from sentinode.models.compute import computes_bfloat16
from sentinode.tables import PackedSet

PEER = Path(__file__).parent / "peers/keras_notebook.py"
FILES = 20_000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("packed", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--env", type=Path, default=Path("out/keras-env"))
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    python = keras_python(args.env)
    folder = args.work / "files"
    count = _files(PackedSet.open(args.packed), round(FILES * args.scale), folder)
    common = ["--epochs", str(args.epochs)]
    rows = []
    precisions = ["float32", *(["bfloat16"] if computes_bfloat16("cpu") else [])]
    for name in ("notebook", *(f"sentinode {precision}" for precision in precisions)):
        for file in (folder / "train").iterdir():
            file.read_bytes()
        if name == "notebook":
            threads = ["--threads", str(args.threads)]
            commands = [[python, PEER, folder, *common, *threads]]
        else:
            commands = _ours(folder, args.work / name.split()[1], name.split()[1], args)
        rows.append({"what": name, **_measured(commands)})
        print(json.dumps(rows[-1]))
    shutil.rmtree(folder)
    result = {
        "processor": processor_name(),
        "threads": args.threads,
        "files": count,
        "epochs": args.epochs,
        "peers": NEEDS,
        "ratios": {
            row["what"]: {
                "wall time": round(rows[0]["seconds"] / row["seconds"], 2),
                "memory": round(rows[0]["anonymous_gib"] / row["anonymous_gib"], 2),
            }
            for row in rows[1:]
        },
        "runs": rows,
    }
    print(json.dumps(result["ratios"]))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result, indent=1) + "\n")


def _files(packed: PackedSet, wanted: int, root: Path) -> int:
    """Write labelled patches as Kaggle's set has them; return how many there are."""
    shutil.rmtree(root, ignore_errors=True)
    (root / "train").mkdir(parents=True)
    frame = packed.manifest.frame
    rows = np.flatnonzero(packed.manifest.usable & frame["label"].notna())
    rows = np.random.default_rng(0).permutation(rows)[:wanted]
    with (root / "train_labels.csv").open("w") as labels:
        labels.write("id,label\n")
        for number, row in enumerate(rows):
            name = f"{number:040x}"
            Image.fromarray(packed.images[row]).save(root / "train" / f"{name}.tif")
            labels.write(f"{name},{frame['label'].iloc[row]}\n")
    return len(rows)


def _ours(folder: Path, out: Path, precision: str, args: argparse.Namespace) -> list[list[Any]]:
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "sentinode"]
    packed = out / "set"
    # A tenth is held out, at random, as the notebook does; no fold is reported.
    share = ["--set", "split.by=random", "--set", "split.valid_fraction=0.1"]
    share += ["--set", "split.test_fraction=0.001"]
    settings = [f"train.epochs={args.epochs}", f"train.precision={precision}"]
    settings.append(f"train.threads={args.threads}")
    given = [word for setting in settings for word in ("--set", setting)]
    return [
        [*command, "pack", folder, "--out", packed],
        [*command, "split", packed, *share],
        [*command, "train", packed, "--out", out / "run", *given],
    ]


def _measured(commands: list[list[Any]]) -> dict[str, Any]:
    peak, steps = 0, []
    for command in commands:
        start = time.perf_counter()
        process = subprocess.Popen([*map(str, command)], stderr=subprocess.DEVNULL)
        while process.poll() is None:
            peak = max(peak, _anonymous(process.pid))
            time.sleep(0.1)
        if process.returncode:
            sys.exit(f"{' '.join(map(str, command))} ended with {process.returncode}")
        steps.append(round(time.perf_counter() - start, 2))
    return {
        "seconds": round(sum(steps), 2),
        "steps": steps,
        "anonymous_gib": round(peak / 2**30, 3),
    }


def _anonymous(pid: int) -> int:
    total = 0
    try:
        process = psutil.Process(pid)
        for each in [process, *process.children(recursive=True)]:
            memory = each.memory_info()
            total += memory.rss - memory.shared
    except psutil.Error:  # it ended between listing and asking
        return 0
    return total


if __name__ == "__main__":
    main()
