"""The first notebook's prediction in Keras, in an environment of its own.

Started by `benchmarks/predict.py`. It builds the notebook's colour network, takes its weights from
a file, and then answers each line of standard input with one line of JSON:

    memory IMAGES.npy OUT.npy    predict patches that are in memory
    files FOLDER OUT.csv         read TIFF files one by one, predict them, write a CSV
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import keras
import numpy as np
import pandas as pd

BATCH = 64


def main() -> None:
    model = colour(np.load(sys.argv[1]))
    said(ready=True, keras=keras.__version__, parameters=model.count_params())
    held: dict[str, np.ndarray] = {}
    for line in sys.stdin:
        what, given, out = line.split()
        if what == "memory":
            if given not in held:  # once, and not timed: patches are in memory
                held[given] = np.load(given).astype(np.float32) / 255.0
            start = time.perf_counter()
            found = model.predict(held[given], batch_size=BATCH, verbose=0)
            seconds = time.perf_counter() - start
            np.save(out, found[:, 0])
        else:
            start = time.perf_counter()
            from_files(model, Path(given), Path(out))
            seconds = time.perf_counter() - start
        said(seconds=seconds)


def said(**values: Any) -> None:
    print(json.dumps(values), flush=True)


def colour(weights: Any) -> Any:
    """Build the first notebook's colour network; weights in the order of Keras's own list."""
    layers = keras.layers
    made = [layers.Input((96, 96, 3))]
    for width in (32, 64, 128):
        made += [
            layers.Conv2D(width, 3, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.Conv2D(width, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
        ]
    made += [layers.GlobalAveragePooling2D(), layers.Dropout(0.5)]
    made += [layers.Dense(64, activation="relu"), layers.Dense(1, activation="sigmoid")]
    model = keras.Sequential(made)
    model.set_weights([weights[f"{number:03d}"] for number in range(len(weights.files))])
    return model


def from_files(model: Any, folder: Path, out: Path) -> None:
    """Read, convert, stack and predict, as the notebook does."""
    names, images = [], []
    for path in sorted(folder.iterdir()):
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        images.append(image)
        names.append(path.stem)
    stacked = np.array(images).astype(np.float32) / 255.0
    found = model.predict(stacked, batch_size=BATCH, verbose=0)[:, 0]
    pd.DataFrame({"id": names, "label": found}).to_csv(out, index=False)


if __name__ == "__main__":
    main()
