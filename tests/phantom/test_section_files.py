"""A section written with its truth, and found again by its readers."""

from pathlib import Path

import numpy as np
import pytest

from sentinode.errors import DiskFullError
from sentinode.phantom import make_section, write_section
from sentinode.slides import Box, Reading, Slide, open_truth


def test_a_section_and_its_truth_in_files(tmp_path: Path) -> None:
    side, whole = 700, Box(0, 0, 700, 700)
    name = write_section(tmp_path, 3, side, share=0.2)
    section = make_section(3, side, share=0.2)
    assert section.tumour.any()
    with Slide(tmp_path / "slides" / f"{name}.tif") as slide:
        assert slide.mpp == pytest.approx(section.mpp, rel=1e-4)
        np.testing.assert_array_equal(slide.read(0, 0, side, side, slide.mpp), section.image)
    for file in (
        f"slides/{name}_mask.tif",
        f"annotations/asap/{name}.xml",
        f"annotations/ncrf/{name}.json",
        f"annotations/geojson/{name}.geojson",
        f"annotations/mask/{name}.png",
    ):
        with open_truth(tmp_path / file, (side, side), Reading()) as truth:
            np.testing.assert_array_equal(truth.tumour(whole), section.tumour)
    with open_truth(tmp_path / "tissue" / f"{name}.tif", (side, side), Reading()) as truth:
        np.testing.assert_array_equal(truth.tumour(whole), section.tissue)
    assert not list(tmp_path.glob(".section-*"))
    before = (tmp_path / "slides" / f"{name}.tif").stat().st_mtime_ns
    assert write_section(tmp_path, 3, side, share=0.2) == name
    assert (tmp_path / "slides" / f"{name}.tif").stat().st_mtime_ns == before


def test_no_room(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError, match="the section needs"):
        write_section(tmp_path, 3, 10_000_000)
