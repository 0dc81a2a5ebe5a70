import threading

import numpy as np
import torch
from PIL import Image

from sentinode.data.loader import batches, epoch_order, to_input
from sentinode.types import Preprocess

IMAGES = np.random.default_rng(0).integers(0, 256, (10, 12, 12, 3), dtype=np.uint8)


def test_an_epochs_order_follows_from_seed_and_epoch() -> None:
    first = epoch_order(50, 1, 1)
    assert sorted(first) == list(range(50))
    assert (first == epoch_order(50, 1, 1)).all()
    assert not (first == epoch_order(50, 1, 2)).all()
    assert not (first == epoch_order(50, 2, 1)).all()


def test_batches_come_in_order_and_whole() -> None:
    rows = np.array([9, 0, 3, 3, 7])
    found = list(batches(IMAGES, rows, 2))
    assert [len(b) for b in found] == [2, 2, 1]
    np.testing.assert_array_equal(torch.cat(found).numpy(), IMAGES[rows])
    assert list(batches(IMAGES, rows[:0], 2)) == []


def test_leaving_early_leaves_no_thread() -> None:
    before = threading.active_count()
    running = batches(IMAGES, np.arange(10), 1)
    next(running)
    assert threading.active_count() == before + 1
    running.close()
    assert threading.active_count() == before


def test_colour_and_gray_against_numpy_and_pillow() -> None:
    colour = Preprocess(size=12, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    got = to_input(torch.from_numpy(IMAGES), colour)
    assert got.is_contiguous(memory_format=torch.channels_last)
    expected = (IMAGES / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.3, 0.4]
    np.testing.assert_allclose(got.permute(0, 2, 3, 1).numpy(), expected, atol=1e-5)
    gray = Preprocess(size=12, channels="gray", mean=(0.0,), std=(1.0,))
    got = to_input(torch.from_numpy(IMAGES), gray)
    assert got.shape == (10, 1, 12, 12)
    pillow = np.stack([np.asarray(Image.fromarray(i).convert("L")) for i in IMAGES])
    assert np.abs(got[:, 0].numpy() * 255 - pillow).max() < 1.001  # Pillow rounds otherwise
    luma = np.rint(IMAGES @ np.array([0.299, 0.587, 0.114]))
    assert np.abs(got[:, 0].numpy() * 255 - luma).max() < 1.001
