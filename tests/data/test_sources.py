from pathlib import Path

import pandas as pd
import pytest

from builders.sources import class_folders, kaggle, picture, save
from sentinode.data import open_source
from sentinode.errors import InputError, MissingInputError


def labels_of(table: pd.DataFrame) -> dict[str, int | None]:
    return {
        i: None if pd.isna(v) else int(v) for i, v in zip(table["id"], table["label"], strict=True)
    }


def test_kaggle(tmp_path: Path) -> None:
    source = open_source(kaggle(tmp_path))
    assert source.kind == "kaggle"
    assert len(source) == 24
    found = labels_of(source.table)
    assert found["a000"] == 0
    assert found["a001"] == 1
    assert found["a020"] is None
    assert set(source.table["source_fold"].dropna()) == {"test"}
    row = source.table["id"].tolist().index("a007")
    assert (source.read(row) == picture(7)).all()


def test_labels_as_people_write_them(tmp_path: Path) -> None:
    root = kaggle(tmp_path, labelled=4, unlabelled=0)
    text = '\ufeff"id" , label\r\n"a000.tif", 0\r\na001,1.0\r\n a002 ,"0"\r\na003, 1\r\na003,1\r\n'
    (root / "train_labels.csv").write_bytes(text.encode())
    assert labels_of(open_source(root).table) == {"a000": 0, "a001": 1, "a002": 0, "a003": 1}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,label\na000,1\n", "expected the columns id,label, got name,label"),
        ("", "expected a CSV with a header"),
        ("id,label\n", "no labels, only a header"),
        ("id,label\na000,0\na000,1\n", "'a000' stands twice with different labels"),
        ("id,label\na000,tumour\n", "1 of 1 labels are not 0 or 1, as 'tumour'"),
        ("id,label\na000,2\na001,3\na002,1\n", "2 of 3 labels are not 0 or 1"),
        ("id,label\na000,0\n,1\n", "line 3 has no id"),
        ("id,label ,label\na000,0,1\n", "column 'label' stands twice"),
        ("id,label,label\na000,0,1\n", "column 'label' stands twice"),
        ("id,label\nb000,1\n", "none of the 20 images"),
    ],
)
def test_wrong_labels(text: str, words: str, tmp_path: Path) -> None:
    root = kaggle(tmp_path)
    (root / "train_labels.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        open_source(root)


def test_labels_without_images_and_images_without_labels_are_put_aside(tmp_path: Path) -> None:
    root = kaggle(tmp_path)
    (root / "train" / "a003.tif").unlink()
    lines = (root / "train_labels.csv").read_text().replace("a005,1\n", "")
    (root / "train_labels.csv").write_text(lines)
    table = open_source(root).table.set_index("id")
    assert "no image" in table.loc["a003", "problem"]
    assert "no label" in table.loc["a005", "problem"]
    assert table["problem"].notna().sum() == 2


def test_an_id_with_a_zero_byte_is_put_aside(tmp_path: Path) -> None:
    root = kaggle(tmp_path)
    with (root / "train_labels.csv").open("a") as file:
        file.write("b\0b,1\n")
    source = open_source(root)
    assert source.fingerprint()
    assert source.table["problem"].notna().sum() == 1


def test_a_label_outside_0_and_1_puts_its_patch_aside(tmp_path: Path) -> None:
    root = kaggle(tmp_path)
    text = (root / "train_labels.csv").read_text().replace("a003,1", "a003,2")
    (root / "train_labels.csv").write_text(text.replace("a004,0", "a004,"))
    table = open_source(root).table.set_index("id")
    assert table.loc["a003", "problem"] == "label '2' is not 0 or 1"
    assert table.loc["a004", "problem"] == "no label is given"
    assert table.loc[["a003", "a004"], "label"].isna().all()
    assert table["problem"].notna().sum() == 2


def test_a_slide_map_is_joined(tmp_path: Path) -> None:
    root = kaggle(tmp_path, labelled=4, unlabelled=1)
    (root / "patch_id_wsi_full.csv").write_text(
        "id,wsi\n" + "".join(f"a{i:03d},slide_{i // 2}\n" for i in range(5))
    )
    assert open_source(root).table["slide"].value_counts()["slide_0"] == 2
    (root / "slide_map.csv").write_text("id,wsi,x,y\na000,s,10,20\na001,s,30,40\n")
    table = open_source(root).table.set_index("id")
    assert table.loc["a001", ["slide", "x", "y"]].tolist() == ["s", 30, 40]
    (root / "slide_map.csv").write_text("id,wsi\na000,s\na000,t\n")
    with pytest.raises(InputError, match="'a000' stands more than once"):
        open_source(root)


@pytest.mark.parametrize("names", [("0", "1"), ("normal", "tumor"), ("Negative", "Positive")])
def test_class_folders(names: tuple[str, str], tmp_path: Path) -> None:
    source = open_source(class_folders(tmp_path, names=names))
    assert source.table["label"].tolist() == [0] * 6 + [1] * 6
    assert source.table["source_fold"].isna().all()


def test_class_folders_below_folds(tmp_path: Path) -> None:
    root = class_folders(tmp_path, folds=("train", "val", "test"))
    for i in range(3):
        save(root / "training" / "0" / f"q{i}.png", picture(5000 + i))
    source = open_source(root)
    assert source.table["source_fold"].value_counts().to_dict() == {
        "train": 15,
        "valid": 12,
        "test": 12,
    }
    assert source.table["id"].is_unique


def test_images_and_one_image(tmp_path: Path) -> None:
    for i in range(3):
        save(tmp_path / "many" / f"ü {i}.png", picture(i))
    (tmp_path / "many" / ".hidden.png").write_text("")
    (tmp_path / "many" / "notes.txt").write_text("")
    many = open_source(tmp_path / "many")
    assert many.table["id"].tolist() == ["ü 0", "ü 1", "ü 2"]
    one = open_source(tmp_path / "many" / "ü 1.png")
    assert (one.read(0) == picture(1)).all()


def test_what_is_no_source(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="no file or folder"):
        open_source(tmp_path / "none")
    with pytest.raises(InputError, match="holds no patches"):
        open_source(tmp_path)
    (tmp_path / "a.dat").write_text("")
    with pytest.raises(InputError, match="is no source of patches"):
        open_source(tmp_path / "a.dat")
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(InputError, match=r"a\.txt: no paths in it"):
        open_source(tmp_path / "a.txt")
    (tmp_path / "0").mkdir()
    with pytest.raises(InputError, match="holds no images"):
        open_source(tmp_path)
    save(tmp_path / "0" / "a.png", picture(1))
    (tmp_path / "benignish").mkdir()
    with pytest.raises(InputError, match="benignish is no class that is known"):
        open_source(tmp_path)


def test_two_files_with_one_id(tmp_path: Path) -> None:
    save(tmp_path / "0" / "a.png", picture(1))
    save(tmp_path / "0" / "a.bmp", picture(2))
    with pytest.raises(InputError, match="two patches have the id '0/a'"):
        open_source(tmp_path)


def test_kaggle_without_images(tmp_path: Path) -> None:
    (tmp_path / "train_labels.csv").write_text("id,label\na,1\n")
    with pytest.raises(MissingInputError, match="no folder train/"):
        open_source(tmp_path)
    (tmp_path / "train").mkdir()
    with pytest.raises(InputError, match="holds no images"):
        open_source(tmp_path)


def test_the_fingerprint_sees_a_changed_file(tmp_path: Path) -> None:
    root = kaggle(tmp_path)
    first = open_source(root).fingerprint()
    assert open_source(root).fingerprint() == first
    save(root / "train" / "a000.tif", picture(99, 25))
    assert open_source(root).fingerprint() != first


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    save(tmp_path / "0" / "a.png", picture(1))
    save(tmp_path / "1" / "a.png", picture(2))
    (tmp_path / "1" / "b.png").symlink_to(tmp_path / "1" / "b.png")
    source = open_source(tmp_path)
    assert len(source) == 3
