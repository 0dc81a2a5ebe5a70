"""The first notebook's way from files to a trained network: one by one into memory, then Keras.

    python keras_notebook.py FOLDER [--epochs 1] [--threads 2]

FOLDER holds `train/<id>.tif` and `train_labels.csv`. Prints a line of JSON.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import time
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import tensorflow as tf
from keras_models import first
from PIL import Image


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--threads", type=int, required=True)
    args = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    keras.utils.set_random_seed(42)
    start = time.perf_counter()
    with (args.folder / "train_labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    images = []
    for row in rows:
        with Image.open(args.folder / "train" / f"{row['id']}.tif") as image:
            images.append(np.array(image))
    pixels = np.array(images, dtype=np.float32) / 255
    labels = np.array([int(row["label"]) for row in rows], dtype=np.float32)
    order = np.random.default_rng(42).permutation(len(rows))
    kept, held = order[len(rows) // 10 :], order[: len(rows) // 10]
    x_train, x_valid = pixels[kept], pixels[held]  # copies, as scikit-learn's split makes
    read = time.perf_counter()
    model = first(keras, pixels.shape[1], lambda width: width)
    model.compile(keras.optimizers.Adam(1e-3), "binary_crossentropy", metrics=["accuracy"])
    model.fit(
        x_train,
        labels[kept],
        validation_data=(x_valid, labels[held]),
        batch_size=32,
        epochs=args.epochs,
        verbose=0,
    )
    end = time.perf_counter()
    print(json.dumps({"read_s": read - start, "train_s": end - read}))


if __name__ == "__main__":
    main()
