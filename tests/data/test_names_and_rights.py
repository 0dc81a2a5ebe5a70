"""Files whose names or rights are in the way, and pages that would overwrite a set's files."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from builders.sources import class_folders, kaggle, save
from builders.sources import picture as patch
from sentinode.cli.main import app
from sentinode.config import PackConfig
from sentinode.data import open_source, pack
from sentinode.errors import InputError, SentinodeError
from sentinode.slides import Slide


def test_a_name_that_is_not_utf8_is_said(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "f")
    os.rename(root / "0" / "p0.png", os.fsencode(root / "0") + b"/p\xff.png")  # noqa: PTH104
    with pytest.raises(InputError, match=r"'0/p\\udcff.png' is not UTF-8; rename the file"):
        open_source(root)


def test_what_may_not_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = class_folders(tmp_path / "f")
    save(tmp_path / "p.png", patch(1))
    (tmp_path / "list.txt").write_text("p.png\n")

    def closed(path: object, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as change:
        change.setattr(os, "scandir", closed)
        with pytest.raises(InputError, match="f cannot be read: Permission denied"):
            open_source(root)
    monkeypatch.setattr(Path, "read_text", closed)
    with pytest.raises(InputError, match=r"list.txt cannot be read: Permission denied"):
        open_source(tmp_path / "list.txt")
    monkeypatch.setattr(Path, "open", closed)
    with pytest.raises(InputError, match=r"p.png cannot be read: Permission denied"):
        Slide(tmp_path / "p.png")


def test_pairs_are_written_as_csv_only(tmp_path: Path) -> None:
    for name in ("one", "two"):
        pack(open_source(kaggle(tmp_path / name, labelled=4)), tmp_path / f"{name}s", PackConfig())
    given = ["audit", str(tmp_path / "ones"), "--against", str(tmp_path / "twos"), "--out"]
    done = CliRunner().invoke(app, [*given, str(tmp_path / "pairs.html")])
    assert isinstance(done.exception, SentinodeError)
    assert "ending in .csv, got pairs.html" in str(done.exception)
    assert not (tmp_path / "pairs.html").exists()
    done = CliRunner().invoke(app, [*given, str(tmp_path / "pairs.CSV")])
    assert done.exit_code == 0, done
    assert (tmp_path / "pairs.CSV").read_text().startswith("id,other,kind")
    assert "<html" in (tmp_path / "pairs.html").read_text()


def test_a_page_does_not_overwrite_what_an_extraction_says(tmp_path: Path) -> None:
    root = pack(open_source(kaggle(tmp_path / "k")), tmp_path / "set", PackConfig()).folder
    (root / "extract.json").write_text("{}")
    done = CliRunner().invoke(app, ["explore", str(root), "--out", str(root / "extract.html")])
    assert isinstance(done.exception, InputError)
    assert "extract.json is a file of a packed set" in str(done.exception)
    assert (root / "extract.json").read_text() == "{}"
