from pathlib import Path

import pandas as pd
import pytest

from builders.hub import packed_pixels, patches, png
from builders.sources import kaggle, picture, save
from sentinode.data import open_source
from sentinode.errors import InputError


def test_a_table_of_paths(tmp_path: Path) -> None:
    for i in range(3):
        save(tmp_path / "a ü" / f"p {i}.png", picture(i))
    text = (
        "\ufeffpath, label ,slide,patient,x,y,split\r\n"
        '"a ü/p 0.png", 1.0 ,s1,p1,5,6,train\r\n'
        "a ü\\p 1.png,0,s2,p2,7,8,val\r\n"
        "a ü/p 2.png,,s2,p2,,,Test\r\n"
        "a ü/gone.png,1,s3,p3,1,1,train\r\n"
        "a ü/other.png,7,s3,p3,1,1,train\r\n"
    )
    (tmp_path / "patches.csv").write_bytes(text.encode())
    source = open_source(tmp_path)
    table = source.table.set_index("id")
    assert source.kind == "table"
    assert table["label"].fillna(-1).to_dict() == {
        "a ü/p 0": 1,
        "a ü/p 1": 0,
        "a ü/p 2": -1,
        "a ü/gone": 1,
        "a ü/other": -1,
    }
    assert table["source_fold"].tolist() == ["train", "train", "train", "valid", "test"]
    assert table.loc["a ü/p 1", ["slide", "patient", "x", "y"]].tolist() == ["s2", "p2", 7, 8]
    assert table["problem"].dropna().to_dict() == {
        "a ü/gone": "missing: there is no such file",
        "a ü/other": "missing: there is no such file",
    }
    assert (packed_pixels(tmp_path, tmp_path)["a ü/p 1"] == picture(1)).all()
    named = tmp_path / "other.parquet"
    frame = pd.DataFrame({"path": ["a ü/p 0.png"], "label": [True], "id": ["one"]})
    frame.to_parquet(named)
    assert open_source(named).table["label"].tolist() == [1]
    assert open_source(named).table["id"].tolist() == ["one"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,label\na.png,1\n", "expected the columns path, got file,label"),
        ("path\n", "no patches, only a header"),
        ("path,label\nb.png,1\n", "none of its 1 files is there"),
        ("path,label\na.png,1\na.png,0\n", "two patches have the id 'a'"),
        ("path,label\na.png,tumour\n", "1 of 1 labels are not 0 or 1"),
        ("path,split\na.png,holdout\n", "split 'holdout' is not known"),
        ("path,x\na.png,left\n", "column x: expected whole numbers"),
        ("path,x\na.png,inf\n", "column x: expected whole numbers, got inf"),
        ("path,y\na.png,-1e30\n", "column y: expected whole numbers, got -1e"),
        ("path,x\na.png,9007199254740992\n", "column x: expected whole numbers, got 9007"),
        ("path,label\n,1\n", "line 2 has no path"),
    ],
)
def test_wrong_tables(text: str, words: str, tmp_path: Path) -> None:
    save(tmp_path / "a.png", picture(1))
    (tmp_path / "patches.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        open_source(tmp_path)


def test_labels_that_are_neither_put_their_rows_aside(tmp_path: Path) -> None:
    root = kaggle(tmp_path, labelled=5, unlabelled=0)
    labels = "id,label\na000,0\na001,2\na002,TRUE\na003,\na004,1.00\n"
    (root / "train_labels.csv").write_text(labels)
    table = open_source(root).table.set_index("id")
    assert table["label"].fillna(-1).tolist() == [0, -1, 1, -1, 1]
    assert table["problem"].dropna().to_dict() == {
        "a001": "label '2' is not 0 or 1",
        "a003": "no label is given",
    }


def test_other_names_of_columns_and_absolute_paths(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.png", picture(1))
    save(tmp_path / "b.png", picture(2))
    (tmp_path / "tables").mkdir()
    table = tmp_path / "tables" / "mine.csv"
    table.write_text(
        "path,label,wsi,center,coord_x,coord_y,id\n"
        f"{tmp_path}/images/a.png,1,s,c,3,4,\n./../b.png,0,s,c,5,6,mine\n"
    )
    source = open_source(table)
    assert source.table["path"].tolist() == ["../b.png", "../images/a.png"]
    assert source.table["id"].tolist() == ["mine", "../images/a"]
    assert source.table[["slide", "centre", "x", "y"]].iloc[1].tolist() == ["s", "c", 3, 4]
    assert (source.read(1) == picture(1)).all()


def test_a_parquet_table_with_more_than_is_needed(tmp_path: Path) -> None:
    save(tmp_path / "a.png", picture(1))
    frame = pd.DataFrame({"path": ["a.png"], "label": [1.0], "x": [7], "vector": [[1, 2]]})
    frame.to_parquet(tmp_path / "patches.parquet")
    table = open_source(tmp_path).table
    assert table[["label", "x"]].iloc[0].tolist() == [1, 7]
    (tmp_path / "patches.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="is damaged: expected Parquet"):
        open_source(tmp_path)


@pytest.mark.parametrize("index", ["id", "path", "slide", "rows"])
def test_what_pandas_had_as_the_index_is_a_column_again(index: str, tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "path": [f"{i}.png" for i in range(8)],
            "image": [{"bytes": png(patch), "path": None} for patch in patches(8)],
            "id": [f"i{i}" for i in range(8)],
            "label": [0, 1] * 4,
            "slide": pd.array([3, None] * 4, dtype="Int64"),
        }
    )
    for i in range(8):
        save(tmp_path / f"{i}.png", picture(i))
    written = frame.iloc[2:6] if index == "rows" else frame.set_index(index).iloc[2:6]
    written.to_parquet(tmp_path / "hub.parquet")
    written.drop(columns="image").to_parquet(tmp_path / "table.parquet")
    for name in ("hub", "table"):
        table = open_source(tmp_path / f"{name}.parquet").table.set_index("id")
        assert table["label"].to_dict() == {"i2": 0, "i3": 1, "i4": 0, "i5": 1}
        assert table["slide"].fillna("?").tolist()[1::2] == ["?", "?"]
        assert table["slide"].iloc[0] in ("3", "3.0")
        assert table["problem"].isna().all()


def test_absolute_paths_in_a_table_below_a_link(tmp_path: Path) -> None:
    real = tmp_path / "deep" / "down" / "real"
    save(real / "images" / "a.png", picture(1))
    save(tmp_path / "store" / "b.png", picture(2))
    (real / "images" / "b.png").symlink_to(tmp_path / "store" / "b.png")
    (tmp_path / "link").symlink_to(real)
    text = f"path,label\n{real}/images/a.png,1\n{real}/images/b.png,0\n"
    (real / "patches.csv").write_text(text + f"{tmp_path}/store/b.png,0\n")
    source = open_source(tmp_path / "link")
    found = ["../../../store/b.png", "images/a.png", "images/b.png"]
    assert source.table["path"].tolist() == found
    assert (source.read(1) == picture(1)).all()
    assert (source.read(0) == source.read(2)).all()
    assert source.table["path"].tolist() == open_source(real).table["path"].tolist()
