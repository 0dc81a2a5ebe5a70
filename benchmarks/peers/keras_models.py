"""Networks like the notebooks', trained a little and saved by Keras itself, and what it predicts.

    python keras_models.py 2|3 IMAGES.npy OUT [--width 1.0]

Runs where Keras is installed (2 is tf_keras, 3 is keras). IMAGES is uint8 [n, size, size, 3]. For
each network OUT gets NAME-kerasV.h5, NAME-kerasV.keras and NAME-kerasV.npy, the probabilities of
tumour, float32 [n].
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("version", choices=["2", "3"])
    parser.add_argument("images", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--width", type=float, default=1.0)
    args = parser.parse_args()
    if args.version == "2":
        import tf_keras as keras
    else:
        import keras
    images = np.load(args.images)
    args.out.mkdir(parents=True, exist_ok=True)
    for name, make in (("first", first), ("second", second), ("odd", odd)):
        keras.utils.set_random_seed(7)
        model = make(keras, images.shape[1], lambda n: max(2, round(n * args.width)))
        shake(model)
        pixels = images.astype(np.float32) / (1.0 if name == "odd" else 255.0)
        teach(model, pixels, images)
        said = np.asarray(model.predict(pixels, batch_size=64, verbose=0))
        stem = args.out / f"{name}-keras{args.version}"
        np.save(f"{stem}.npy", said[:, -1].astype(np.float32))
        for ending in ("h5", "keras"):
            model.save(f"{stem}.{ending}")


def first(keras: Any, size: int, w: Any) -> Any:
    """The first notebook's: batch norm behind the rectifier, global average, dense 64."""
    layers = keras.layers
    made = [layers.Input((size, size, 3))]
    for width in (32, 64, 128):
        made += [
            layers.Conv2D(w(width), 3, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.Conv2D(w(width), 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
        ]
    made += [layers.GlobalAveragePooling2D(), layers.Dropout(0.5)]
    made += [layers.Dense(w(64), activation="relu"), layers.Dense(1, activation="sigmoid")]
    return keras.Sequential(made)


def second(keras: Any, size: int, w: Any) -> Any:
    """The second notebook's: batch norm behind pooling and dropout, then flat."""
    layers = keras.layers
    made = [layers.Input((size, size, 3))]
    for width in (32, 64):
        made += [layers.Conv2D(w(width), 3, padding="same", activation="relu")]
        made += [layers.MaxPooling2D(2), layers.Dropout(0.2), layers.BatchNormalization()]
    made += [layers.Flatten(), layers.Dense(w(60), activation="relu")]
    made += [layers.Dense(w(30), activation="relu"), layers.Dense(1, activation="sigmoid")]
    return keras.Sequential(made)


def odd(keras: Any, size: int, w: Any) -> Any:
    """What else people write: own names, no bias, no scale, batch norm of a row, two outputs."""
    layers = keras.layers
    start = x = keras.Input((size, size, 3), name="patch")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="to_one")(x)
    x = layers.Conv2D(w(16), 5, use_bias=False, name="zz_first")(x)
    x = layers.BatchNormalization(scale=False, epsilon=1e-5, name="bn.a")(x)
    x = layers.Activation("relu")(x)
    x = layers.MaxPooling2D(3)(x)
    x = layers.Conv2D(w(24), 3, name="aa_second")(x)
    x = layers.ReLU()(x)
    x = layers.BatchNormalization(center=False)(x)
    x = layers.Flatten()(x)
    x = layers.BatchNormalization()(x)
    x = layers.Dense(w(20), activation="relu")(x)
    x = layers.BatchNormalization()(x)
    return keras.Model(start, layers.Dense(2, activation="softmax", name="classes")(x))


def shake(model: Any) -> None:
    """Give every array values of its own, so that none can be mistaken for another."""
    rng = np.random.default_rng(7)
    for weight in model.weights:
        name = getattr(weight, "path", weight.name)
        if "seed" in name:
            continue
        value = np.asarray(weight)
        if "variance" in name:
            value = rng.uniform(0.5, 2, value.shape)
        elif value.ndim == 1:
            value = value + rng.normal(0, 0.2, value.shape)
        weight.assign(value.astype(np.float32))


def teach(model: Any, pixels: Any, images: Any) -> None:
    """Train to tell bright from dark, so that probabilities spread and statistics are real."""
    light = images.mean((1, 2, 3))
    labels = (light > np.median(light)).astype(np.float32)
    two = model.output_shape[-1] == 2
    model.compile("adam", "sparse_categorical_crossentropy" if two else "binary_crossentropy")
    model.fit(pixels, labels, epochs=max(3, 3000 // len(images)), batch_size=8, verbose=0)


if __name__ == "__main__":
    main()
