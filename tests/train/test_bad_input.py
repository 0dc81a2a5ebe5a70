"""What is said of a training that cannot do any good, and what is kept."""

import time
from pathlib import Path

import numpy as np
import pytest

from builders.sets import tiny_spec
from sentinode.config import Config
from sentinode.data.loader import batches
from sentinode.errors import CheckpointError, InputError
from sentinode.models import block_network
from sentinode.tables import PackedSet, Split
from sentinode.train import train
from sentinode.types import Preprocess


def test_a_learning_rate_that_does_nothing_is_said(
    packed: PackedSet,
    split: Split,
    quick: Config,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    still = quick.train.model_copy(update={"learning_rate": 1e-12})
    config = quick.model_copy(update={"train": still})
    train(packed, split, config, tmp_path / "still", spec=tiny_spec())
    said = capfd.readouterr().err
    assert said.count("train.learning_rate = 1e-12 does nothing; take a larger one") == 1
    train(packed, split, quick, tmp_path / "moving", spec=tiny_spec())
    assert "does nothing" not in capfd.readouterr().err


def test_gray_and_colour_do_not_take_each_others_weights(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path
) -> None:
    shades = Preprocess(size=16, channels="gray", mean=(0.0,), std=(1.0,))
    gray = block_network("tiny-gray", (4, 8), head=(8,), preprocess=shades)
    colour = train(packed, split, quick, tmp_path / "colour", spec=tiny_spec())
    kept = colour.weights_hash
    with pytest.raises(InputError, match=r"made otherwise \(model\).*start over with --force"):
        train(packed, split, quick, colour.folder, spec=gray)
    assert colour.load() is not None
    assert colour.weights_hash == kept
    run = train(packed, split, quick, tmp_path / "gray", spec=gray)
    weights = (colour.folder / "model.safetensors").read_bytes()
    (run.folder / "model.safetensors").write_bytes(weights)
    with pytest.raises(CheckpointError, match=r"was not written for the spec\.json beside it"):
        run.load()


class Watched:
    """An array that notes which rows were asked of it."""

    def __init__(self, images: np.ndarray) -> None:
        self._images = images
        self.asked: list[int] = []

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        self.asked.append(len(rows))
        return self._images[rows]


def test_the_next_batch_is_read_while_one_is_used_and_no_more_than_that() -> None:
    images = Watched(np.zeros((40, 4, 4, 3), np.uint8))
    coming = batches(images, np.arange(40), 8)  # type: ignore[arg-type]
    for used in range(1, 6):
        assert len(next(coming)) == 8
        ahead = min(used + 1, 5)
        until = time.monotonic() + 5
        while len(images.asked) < ahead and time.monotonic() < until:
            time.sleep(0.001)
        assert len(images.asked) == ahead
    assert list(coming) == []
