import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import tifffile

from sentinode.slides import write_map, write_pyramid


def test_levels_are_means_of_four(tmp_path: Path) -> None:
    image = np.random.default_rng(3).integers(0, 256, (701, 530, 3), dtype=np.uint8)
    write_pyramid(tmp_path / "a.tif", image, 0.5)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        levels = [page.asarray() for page in file.pages]
        assert all(page.is_tiled for page in file.pages)
    np.testing.assert_array_equal(levels[0], image)
    assert [level.shape for level in levels] == [(701, 530, 3), (350, 265, 3), (175, 132, 3)]
    exact = image[:700].reshape(350, 2, 265, 2, 3).mean((1, 3))
    assert np.abs(levels[1] - exact).max() <= 0.5


def test_a_map_is_ome_tiff_with_its_scale_and_its_gaps(tmp_path: Path) -> None:
    values = np.random.default_rng(4).random((600, 300), np.float32)
    values[100:200] = np.nan
    values[300, 10] = np.nan
    write_map(tmp_path / "a.ome.tif", values, 31.04, "Tumor")
    write_map(tmp_path / "b.ome.tif", values, 31.04, "Tumor")
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        assert file.is_ome
        levels = [level.asarray() for level in file.series[0].levels]
        pixels = next(
            e for e in ET.fromstring(file.ome_metadata).iter() if e.tag.endswith("Pixels")
        )
    np.testing.assert_array_equal(levels[0], values)
    assert [level.shape for level in levels] == [(600, 300), (300, 150), (150, 75)]
    assert float(pixels.attrib["PhysicalSizeX"]) == 31.04
    assert pixels.attrib.get("PhysicalSizeXUnit", "µm") == "µm"
    assert np.isnan(levels[1][60])[5]
    np.testing.assert_allclose(levels[1][150, 5], np.nanmean(values[300:302, 10:12]), rtol=1e-6)
    assert (tmp_path / "a.ome.tif").read_bytes() == (tmp_path / "b.ome.tif").read_bytes()
