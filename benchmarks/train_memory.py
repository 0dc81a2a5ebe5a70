"""How much memory training takes when the set grows to 220,025 patches.

    python benchmarks/train_memory.py SET --work FOLDER [--seconds 150] [--set KEY=VALUE]
        [--out FILE.json]

SET is a packed set of real patches. From it sets of 2,000 and of 220,025 patches are written into
--work, every patch turned, shifted and darkened by a draw of its own (about 6 GB, removed at the
end). On each, `sentinode train` runs as a process of its own for so many seconds, or until it ends,
with what --set says, and what it holds for itself (RssAnon: what is mapped from the set's file is
not in it) is read every 0.2 s. What the small set takes is the network's own; the difference is
the set's.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap

from sentinode.core import hash_bytes, processor_name, write_json
from sentinode.data.statistics import coarse_look
from sentinode.tables import Manifest, PackedSet

SIZES = (2_000, 220_025)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("packed", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=150)
    parser.add_argument("--sizes", type=int, nargs=2, default=SIZES)
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    source = PackedSet.open(args.packed)
    rows = []
    for size in args.sizes:
        folder = args.work / f"set-{size}"
        shutil.rmtree(folder, ignore_errors=True)
        written = _written(source, size, folder)
        subprocess.run(
            [sys.executable, "-m", "sentinode", "split", folder, "--set", "split.by=random"],
            check=True,
            stdout=sys.stderr,
        )
        rows.append(_trained(written, args.work / f"run-{size}", args.seconds, args.settings))
        print(json.dumps({k: v for k, v in rows[-1].items() if k != "curve"}))
        shutil.rmtree(folder)
    small, large = (row["anonymous_gib"] for row in rows)
    result = {
        "processor": processor_name(),
        "settings": args.settings,
        "beyond_the_small_set_gib": round(large - small, 3),
    }
    print(json.dumps(result))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result | {"runs": rows}, indent=1) + "\n")


def _written(source: PackedSet, size: int, folder: Path) -> PackedSet:
    """Write a set of ``size`` patches, each made of one of ``source``."""
    folder.mkdir(parents=True)
    labelled = np.flatnonzero(source.manifest.usable & source.manifest.frame["label"].notna())
    rng = np.random.default_rng(0)
    chosen = np.sort(labelled[rng.integers(0, len(labelled), size)])
    frame = source.manifest.frame.iloc[chosen].reset_index(drop=True)
    images = open_memmap(folder / "images.npy", "w+", np.uint8, (size, *source.images.shape[1:]))
    coarse = open_memmap(folder / "coarse.npy", "w+", np.uint8, (size, *source.coarse.shape[1:]))
    hashes = []
    for place, row in enumerate(chosen):
        turned = np.rot90(source.images[row], rng.integers(4))
        moved = np.roll(turned, rng.integers(8, 88, 2), axis=(0, 1))
        darker = (np.arange(256) * rng.uniform(0.85, 1.0)).astype(np.uint8)
        images[place] = darker[moved]
        coarse[place] = coarse_look(images[place])
        hashes.append(hash_bytes(images[place].tobytes()))
    del images, coarse
    frame["id"] = [f"{place:08x}{hashed[:32]}" for place, hashed in enumerate(hashes)]
    frame["sha256"], frame["source_fold"] = hashes, None
    manifest = Manifest.make(frame, {})
    manifest.write(folder / "manifest.parquet")
    meta = source.meta.model_dump(mode="json")
    write_json(folder / "meta.json", meta | {"count": size, "content_hash": manifest.hash})
    return PackedSet.open(folder)


def _trained(packed: PackedSet, out: Path, seconds: float, settings: list[str]) -> dict[str, Any]:
    shutil.rmtree(out, ignore_errors=True)
    given = [word for each in ["train.patience=none", *settings] for word in ("--set", each)]
    command = [sys.executable, "-m", "sentinode", "train", packed.folder, "--out", out, *given]
    log = out.with_suffix(".log")
    with log.open("w") as said:
        process = subprocess.Popen([*map(str, command)], stderr=said, stdout=said)
        curve = []
        end = time.monotonic() + seconds
        while time.monotonic() < end and process.poll() is None:
            curve.append(_anonymous(process.pid))
            time.sleep(0.2)
        process.terminate()  # an interrupt may be ignored where this runs in the background
        process.wait()
    taken = re.findall(r"train: ([\d,]+) of", log.read_text().replace(",", ""))
    if not taken:
        sys.exit(f"no patch was trained on in {seconds} s; see {log}")
    tenths = [round(max(part) / 2**30, 3) for part in np.array_split(curve, 10)]
    return {
        "patches": len(packed.images),
        "trained_on": max(map(int, taken)),
        "anonymous_gib": round(max(curve) / 2**30, 3),
        "curve": tenths,
    }


def _anonymous(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"RssAnon:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0


if __name__ == "__main__":
    main()
