"""The colour baseline trained by Keras 3 on TensorFlow, an epoch at a time, when told to.

    python keras_train.py IMAGES.npy LABELS.npy [--precision float32|bfloat16] [--threads 2]

IMAGES is uint8 [n, 96, 96, 3], LABELS is [n]. The patches lie in memory as float32, as in the
notebook. Each line on standard input trains one epoch and is answered with a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import tensorflow as tf
from keras_models import first


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("images")
    parser.add_argument("labels")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--threads", type=int, required=True)
    args = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    keras.utils.set_random_seed(42)
    if args.precision == "bfloat16":
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    images, labels = np.load(args.images), np.load(args.labels)
    pixels = images.astype(np.float32) / 255
    model = first(keras, images.shape[1], lambda width: width)
    assert model.count_params() == 296_225
    model.compile(keras.optimizers.Adam(1e-3), "binary_crossentropy", metrics=["accuracy"])
    for _ in sys.stdin:
        start = time.perf_counter()
        history = model.fit(pixels, labels, batch_size=32, epochs=1, verbose=0)
        seconds = time.perf_counter() - start
        said = {"seconds": seconds, "loss": history.history["loss"][0]}
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
