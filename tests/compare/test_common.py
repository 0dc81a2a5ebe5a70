"""Slides by which patches are resampled, whoever names them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from builders.sets import small_set
from sentinode.compare import common_patches, compare, find_candidates
from sentinode.compare.tables import group_tables
from sentinode.config import EvaluateConfig
from sentinode.errors import InputError
from sentinode.tables import PackedSet, Predictions


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


def of_the_set(path: Path, packed: PackedSet, **columns: object) -> str:
    table = packed.manifest.frame[["id", "label"]].assign(**columns)
    table["probability"] = np.random.default_rng(0).random(len(table))
    Predictions.make(table, {}).write(path)
    return str(path)


def test_what_contradicts_the_set_is_refused_by_patch(tmp_path: Path) -> None:
    packed = small_set(tmp_path / "set", 96)
    turned = of_the_set(tmp_path / "a.csv", packed, label=1 - packed.manifest.frame["label"])
    with pytest.raises(InputError, match=r"a: patch 'p0000' has label 1 in .* and 0 in the set"):
        common_patches(find_candidates([], [turned]), packed)
    moved = of_the_set(tmp_path / "b.csv", packed, slide="s0")
    with pytest.raises(InputError, match=r"b: patch 'p0024' has slide s0 in .* and s1 in the set"):
        common_patches(find_candidates([], [moved]), packed)


def test_what_the_audit_left_out_does_not_count(tmp_path: Path) -> None:
    packed = small_set(tmp_path / "set", 96)
    given = [of_the_set(tmp_path / "a.csv", packed)]
    whole = common_patches(find_candidates([], given), packed)
    packed.manifest.frame.loc[:4, "excluded"] = "blur"
    found = common_patches(find_candidates([], given), packed)
    assert set(whole.ids) - set(found.ids) == {f"p{i:04d}" for i in range(5)}
    said = "5 of the patches predicted do not count: packing or the audit left them out."
    assert said in found.warnings
    assert said not in whole.warnings


@pytest.mark.parametrize(("fold", "said"), [("test", "that neither taught"), (None, "reported. ")])
def test_only_patches_of_fold_test_are_said_to_have_neither_taught_nor_chosen(
    fold: str | None, said: str, tmp_path: Path
) -> None:
    packed = small_set(tmp_path / "set", 96)
    found = find_candidates([], [of_the_set(tmp_path / "a.csv", packed, fold=fold)])
    table = group_tables(compare(found, EvaluateConfig(resamples=100), packed=packed))[2]
    assert table.said.startswith(f"84 patches {said}")


@pytest.mark.parametrize("name", ["id", "label"])
def test_no_candidate_takes_a_column_of_the_table(name: str, tmp_path: Path) -> None:
    path = theirs(tmp_path / f"{name}.parquet", None)
    with pytest.raises(InputError, match=f"'{name}' is a column of the table of probabilities"):
        find_candidates([], [path])
    assert find_candidates([], [f"theirs={path}"])[0].name == "theirs"


def test_a_file_may_have_an_equals_sign_in_its_name(tmp_path: Path) -> None:
    path = theirs(tmp_path / "rate=3.parquet", None)
    assert find_candidates([], [path])[0].name == "rate=3"
    assert find_candidates([], [f"mine={path}"])[0].name == "mine"
