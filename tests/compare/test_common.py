"""Slides by which patches are resampled, whoever names them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sentinode.compare import common_patches, find_candidates
from sentinode.errors import InputError
from sentinode.tables import Predictions


def theirs(path: Path, slides: str | None) -> str:
    table = pd.DataFrame(
        {"id": [f"p{i}" for i in range(6)], "label": [0, 1] * 3, "probability": np.arange(6) / 6}
    )
    if slides is not None:
        table["slide"] = [None if name == "-" else name for name in slides]
    Predictions.make(table, {}).write(path)
    return str(path)


def test_slides_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    files = [
        theirs(tmp_path / "one.parquet", "aabbcc"),
        theirs(tmp_path / "two.parquet", "aabccc"),
    ]
    for given, names in ((files, "'b' .* 'c'"), (files[::-1], "'c' .* 'b'")):
        with pytest.raises(InputError, match=rf"patch 'p3' is of slide {names} in others"):
            common_patches(find_candidates([], given), None)


def test_slides_are_taken_from_where_they_are_known(tmp_path: Path) -> None:
    files = [
        theirs(tmp_path / "none.parquet", None),
        theirs(tmp_path / "some.parquet", "aab--c"),
        theirs(tmp_path / "rest.parquet", "--bbc-"),
    ]
    for given in (files, files[::-1]):
        found = common_patches(find_candidates([], given), None)
        assert found.unit == "slides"
        assert found.units.tolist() == [0, 0, 1, 1, 2, 2]
