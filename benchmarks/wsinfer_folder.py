"""A WSInfer export: is it valid for the WSInfer Model Zoo, and does its softmax give ours?

    python benchmarks/wsinfer_folder.py EXPORT RUN SET [--patches 200] [--env DIR] [--out FILE.json]

EXPORT is the folder of a wsinfer export of RUN. `config.json` is read by the Model Zoo's own
client, in an environment of its own that is made in --env if it is not there. The model then gets
patches through the transforms that `config.json` names, and the softmax of what it returns is
compared with the probability of `sentinode predict` by PyTorch.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import venv
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from sentinode.config import load_config
from sentinode.core import run_folder
from sentinode.predict import predict_set
from sentinode.tables import PackedSet

ASK = (
    "import json, sys; from wsinfer_zoo.client import ModelConfiguration as M; "
    "print(M.from_dict(json.load(open(sys.argv[1]))).class_names)"
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("export", type=Path)
    parser.add_argument("run")
    parser.add_argument("packed", type=Path)
    parser.add_argument("--patches", type=int, default=200)
    parser.add_argument("--env", type=Path, default=Path("out/wsinfer-env"))
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    classes = _their_client(args.env, args.export / "config.json")
    config = load_config(None, ["predict.runtime=torch", "predict.precision=float32"])
    packed = PackedSet.open(args.packed)
    table = predict_set(run_folder(args.run), packed, config).frame
    rows = np.linspace(0, len(table) - 1, min(args.patches, len(table))).astype(int)
    places = packed.manifest.frame["id"].tolist()
    images = [packed.images[places.index(name)] for name in table["id"].iloc[rows]]
    theirs = _as_wsinfer(args.export, images)
    ours = table["probability"].iloc[rows].to_numpy(np.float64)
    row = {
        "classes_read_by_wsinfer_zoo": classes,
        "patches": len(rows),
        "largest_difference": float(np.abs(theirs - ours).max()),
    }
    print(json.dumps(row))
    if args.out:
        args.out.write_text(json.dumps(row, indent=1) + "\n")


def _their_client(env: Path, config: Path) -> str:
    python = env / "bin/python"
    if not python.exists():
        venv.create(env, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "wsinfer-zoo"], check=True)
    done = subprocess.run([python, "-c", ASK, config], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _as_wsinfer(export: Path, images: list[Any]) -> np.ndarray:
    transforms = json.loads((export / "config.json").read_text())["transform"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = torch.jit.load(str(export / "torchscript_model.pt"))
    found = []
    for image in images:
        given: Any = Image.fromarray(image)
        for step in transforms:
            if step["name"] == "Resize":
                side = step["arguments"]["size"]
                given = given.resize((side, side), Image.Resampling.BILINEAR)
            else:  # ToTensor
                given = torch.from_numpy(np.array(given)).permute(2, 0, 1).float() / 255
        with torch.no_grad():
            found.append(torch.softmax(model(given[None]), 1)[0, 1].item())
    return np.array(found)


if __name__ == "__main__":
    main()
