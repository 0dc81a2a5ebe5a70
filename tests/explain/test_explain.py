"""Choosing patches, the folder that is written, its page, and the command's mistakes."""

import csv
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from builders.pages import Page, outward
from builders.sources import save
from sentinode.cli.explain import explain_command
from sentinode.config import Config
from sentinode.errors import InputError, MissingInputError
from sentinode.explain import PICKS, Explained, How, explain, list_names, read_list
from sentinode.explain.choosing import diverse, pick_rows, rows_of_list
from sentinode.explain.explaining import outcome
from sentinode.explain.page import explain_page
from sentinode.models import Run
from sentinode.predict import predict
from sentinode.tables import PackedSet
from sentinode.types import RESEARCH_USE_ONLY

P = [0.01, 0.2, 0.45, 0.52, 0.7, 0.99]
TABLE = pd.DataFrame(
    {
        "id": list("abcdef"),
        "probability": P,
        "label": pd.array([0, 1, 0, 0, None, 1], dtype="Int8"),
    }
)


@pytest.fixture(scope="module")
def explained(run: Run, packed: PackedSet, tmp_path_factory: pytest.TempPathFactory) -> Explained:
    out = tmp_path_factory.mktemp("explained")
    found = explain(run, packed.folder, Config(), out, How(), picks=PICKS, count=3)
    found.note["out"] = out
    return found


def test_picks() -> None:
    pictures = np.zeros((6, 16, 16, 3), np.uint8)
    assert pick_rows("certain", TABLE, pictures, 2, 0.5) == [0, 5]
    assert pick_rows("uncertain", TABLE, pictures, 2, 0.5) == [3, 2]
    assert pick_rows("wrong", TABLE, pictures, 9, 0.5) == [1, 3]  # the surest first


def test_diverse_takes_one_of_each_kind() -> None:
    rng = np.random.default_rng(0)
    colours = np.array([[250, 240, 250], [200, 100, 180], [60, 20, 120], [10, 200, 10]])
    pictures = np.repeat(colours, 5, 0)[:, None, None] + rng.integers(-8, 6, (20, 24, 24, 3))
    found = diverse(pictures.clip(0, 255).astype(np.uint8), 4)
    assert [row // 5 for row in found] == [0, 1, 2, 3]


def test_shipped_list_and_its_stand_ins(packed: PackedSet) -> None:
    assert "first-notebook" in list_names()
    listed = read_list("first-notebook")
    assert listed["label"].tolist() == [1] * 4 + [0] * 5
    frame = packed.manifest.frame
    rows, said = rows_of_list(listed, frame, packed.images)
    assert frame["label"].iloc[rows].tolist() == [1] * 4 + [0] * 5
    assert len(set(rows)) == 9
    assert said.startswith("0 of the 9 examples")
    some = pd.DataFrame({"id": ["p0003", "gone"], "label": pd.array([1, None], dtype="Int8")})
    rows, said = rows_of_list(some, frame, packed.images)
    assert rows[0] == 3
    assert "1 of the 2" in said


def test_a_list_of_which_nothing_is_there_and_nothing_stands_in() -> None:
    listed = pd.DataFrame({"id": ["x"], "label": [1]})
    table = pd.DataFrame({"id": ["0", "1"], "label": pd.array([None, None], dtype="Int8")})
    with pytest.raises(InputError, match="none of the 1 examples of the list is among the 2 patch"):
        rows_of_list(listed, table, np.zeros((2, 16, 16, 3), np.uint8))


def test_lists_of_a_reader(tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("\ufeffp1\n\n p2 \n")
    assert read_list(str(file))["id"].tolist() == ["p1", "p2"]
    file.write_text("label,id\n1,p1\n,p2\n")
    found = read_list(str(file))
    assert found["id"].tolist() == ["p1", "p2"]
    assert found["label"].isna().tolist() == [False, True]
    file.write_text('"","id","label"\n"1","p1",1\n"2","p2",NA\n')  # as R writes it
    found = read_list(str(file))
    assert found["id"].tolist() == ["p1", "p2"]
    assert found["label"].isna().tolist() == [False, True]
    file.write_text("id,from,label\np1,north,1\np2\n")
    assert read_list(str(file))["label"].isna().tolist() == [False, True]
    file.write_text("label,id\n1,p1\n0\n")
    with pytest.raises(InputError, match="the row '0' has no id; expected one in each"):
        read_list(str(file))
    file.write_text("p1\np1\n")
    with pytest.raises(InputError, match="the id 'p1' twice"):
        read_list(str(file))
    file.write_text("\n")
    with pytest.raises(InputError, match="no ids"):
        read_list(str(file))
    with pytest.raises(MissingInputError, match="one of: first-notebook"):
        read_list("none-such")


def test_what_stands_in_the_table(explained: Explained, run: Run, packed: PackedSet) -> None:
    expected = predict(run, packed.folder, Config()).frame.set_index("id")
    labels = packed.manifest.frame.set_index("id")["label"]
    for row in explained.table.itertuples():
        assert row.probability == pytest.approx(expected.loc[row.id, "probability"], abs=1e-6)
        assert row.outcome == outcome(labels[row.id], row.probability >= 0.5)
        assert row.confidence == pytest.approx(max(row.probability, 1 - row.probability))
    picked = explained.table.set_index("id")["picked"]
    sure = (expected["probability"] - 0.5).abs()
    assert "uncertain" in picked[sure.idxmin()]
    assert "certain" in picked[sure.idxmax()].split(", ")
    images = dict(zip(packed.manifest.frame["id"], packed.images, strict=True))
    for i, patch in enumerate(explained.table["id"]):
        np.testing.assert_array_equal(explained.images[i], images[patch])


def test_what_is_written(explained: Explained) -> None:
    out = explained.note["out"]
    assert len(list((out / "panels").glob("*.png"))) == len(explained.table)
    with Image.open(next((out / "panels").glob("*.png"))) as panel:
        assert panel.width > 2 * panel.height > 100
    maps = np.load(out / "maps.npy")
    np.testing.assert_allclose(maps, explained.maps, rtol=1e-6)
    note = json.loads((out / "explain.json").read_text())
    assert note["notice"] == RESEARCH_USE_ONLY
    assert note["maps"].startswith("gradcam at layer layers.relu4, the last convolution")
    with (out / "explained.csv").open() as file:
        assert [row["id"] for row in csv.DictReader(file)] == explained.table["id"].tolist()


def test_the_page_needs_nothing_else(explained: Explained) -> None:
    text = (explained.note["out"] / "explain.html").read_text()
    page = Page(text)
    assert page.open == []
    assert [found for found in outward(text) if found != "<script"] == []
    for patch in explained.table["id"]:
        assert patch in page.text
    assert "Red most, blue least" in page.text
    assert RESEARCH_USE_ONLY in page.text
    assert page.text.count("predicted") >= len(explained.table)
    assert len(re.findall('class="card"', text)) == len(explained.table)
    assert str(explained.note["out"]) not in text


def test_an_empty_map_is_told_as_such(explained: Explained) -> None:
    maps = np.ones_like(explained.maps)
    maps[1] = -1.0
    text = Page(explain_page(replace(explained, maps=maps))).text
    assert text.count("no evidence for tumour anywhere: an empty map") == 1


def test_again_is_the_same_bytes(
    explained: Explained, run: Run, packed: PackedSet, tmp_path: Path
) -> None:
    explain(run, packed.folder, Config(), tmp_path, How(), picks=PICKS, count=3)
    for name in ("explain.html", "explained.csv", "maps.npy", "explain.json"):
        assert (tmp_path / name).read_bytes() == (explained.note["out"] / name).read_bytes()


def test_folders_of_images_and_the_wrong_size(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(3):
        save(tmp_path / "f" / f"p{i}.png", rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))
    save(tmp_path / "f" / "large.png", rng.integers(0, 256, (40, 40, 3), dtype=np.uint8))
    found = explain(run, tmp_path / "f", Config(), tmp_path / "o", How(), picks=["diverse"])
    assert sorted(found.table["id"]) == ["p0", "p1", "p2"]
    assert set(found.table["outcome"]) == {"unlabelled"}
    with pytest.raises(InputError, match="wrong size: 40x40 px, the network takes 32x32"):
        explain(run, tmp_path / "f" / "large.png", Config(), tmp_path / "o2", How())
    with pytest.raises(InputError, match="no patch was picked: none is wrong"):
        explain(run, tmp_path / "f", Config(), tmp_path / "o3", How(), picks=["wrong"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "gradcan"}, "did you mean 'gradcam'"),
        ({"direction": "left"}, "known: normal, tumour"),
        ({"opacity": 1.5}, "opacity lies above 0 and at most at 1, got 1.5"),
        ({"percentile": 0.0}, "percentile lies above 0"),
        ({"pick": "worst"}, "unknown pick 'worst'"),
        ({"layer": "layers.relu9"}, "did you mean 'layers.relu"),
    ],
)
def test_a_mistake_is_said(
    run: Run, packed: PackedSet, tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        explain_command(str(run.folder), packed.folder, tmp_path / "o", **options)


def test_the_command(run: Run, packed: PackedSet, tmp_path: Path) -> None:
    def sentinode(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "sentinode", "explain", str(run.folder)]
        command += [str(packed.folder), "--out", str(tmp_path / "o"), *options]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = sentinode("--examples", "first-notebook", "--method", "hirescam")
    assert done.returncode == 0
    assert "9 patches, 0 of the 9 examples" in done.stdout
    assert (tmp_path / "o" / "explain.html").is_file()
    done = sentinode("--layer", "layers.average1")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "take --method occlusion" in done.stderr
