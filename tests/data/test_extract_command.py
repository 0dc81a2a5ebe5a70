"""`sentinode extract` says what it did and what it cannot do, and goes on where it was killed."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from builders.annotated import NAMES, cohort, cut, say
from sentinode.config import ExtractConfig
from sentinode.errors import InputError, MissingInputError
from sentinode.tables import PackedSet


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cohort(tmp_path_factory.mktemp("annotated"))


def refused(*arguments: object) -> str:
    _, error = say(*arguments)
    assert isinstance(error, (InputError, MissingInputError)), error
    return str(error)


def test_the_command_tells_what_it_did(phantoms: Path, tmp_path: Path) -> None:
    known = phantoms / "annotations" / "geojson"
    small = ("--set", "extract.per_slide=4", "--set", "extract.workers=1")
    text, error = say(phantoms / "slides", "--annotations", known, "--out", tmp_path / "s", *small)
    assert error is None
    assert "phantom_003: holds no outline" in text
    assert "patches (" in text
    assert "4 slides at 0.97 µm/px" in text
    assert len([line for line in text.splitlines() if line.startswith("phantom_00")]) == 5


def test_normal_only_when_asked(phantoms: Path, tmp_path: Path) -> None:
    few = [phantoms / "annotations/asap" / f"phantom_00{i}.xml" for i in (0, 1)]
    given = [phantoms / "slides", *(p for f in few for p in ("--annotations", f))]
    out = ("--out", tmp_path / "s", "--set", "extract.per_slide=4", "--set", "extract.workers=1")
    error = refused(*given, *out)
    assert "phantom_002.tif and 1 more: no annotation of that name" in error
    _, none = say(*given, "--normal", *out)
    assert none is None, none
    frame = PackedSet.open(tmp_path / "s").manifest.frame
    assert (frame["label"][frame["slide"] == "phantom_002"] == 0).all()
    stray = tmp_path / "phantom_2.xml"
    stray.write_text((phantoms / "annotations/asap/phantom_002.xml").read_text())
    error = refused(*given, "--annotations", stray, "--normal", *out)
    assert "phantom_2.xml is of none of the slides" in error
    assert "taken for normal by mistake" in error


def test_options_that_do_not_fit(phantoms: Path, tmp_path: Path) -> None:
    given = (phantoms / "slides", "--annotations", phantoms / "annotations/mask")
    out = ("--out", tmp_path / "s")
    for option, value, words in (
        ("--class", "Stroma", "NAME=MEANING"),
        ("--class", "Stroma=benign", "unknown meaning 'benign'"),
        ("--mask-values", "two", "whole numbers"),
        ("--mask-values", "9-2", "whole numbers"),
        ("--mpp", "90", "--mpp takes µm/px"),
        ("--mpp", "nan", "--mpp takes µm/px"),
        ("--set", "extract.centre=33", "middle"),
        ("--hard-negatives", "nothing-there", "no run"),
    ):
        with_words = say(*given, *out, option, value)[1]
        assert words in str(with_words), with_words
    assert not (tmp_path / "s" / "meta.json").exists()


def start(folder: Path, out: Path, slow: bool) -> subprocess.Popen[str]:
    code = (
        "import importlib, sys, time\n"
        "importlib.import_module('sentinode.data.packing').CHUNK = 8\n"
        "from sentinode.data.slidesource import SlideSource\n"
        "inner = SlideSource.read\n"
        f"SlideSource.read = lambda self, row: (time.sleep({0.02 if slow else 0}), "
        "inner(self, row))[1]\n"
        f"sys.argv = ['sentinode', 'extract', {str(folder / 'slides')!r}, '--annotations', "
        f"{str(folder / 'annotations' / 'asap')!r}, '--out', {str(out)!r}, '--set', "
        "'extract.workers=1', '--set', 'extract.per_slide=30', '--set', 'pack.workers=1']\n"
        "from sentinode.cli.main import run\n"
        "run()\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )


def test_killed_midway_it_goes_on_to_the_same_bytes(phantoms: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    with start(phantoms, out, slow=True) as process:
        deadline = time.monotonic() + 60
        while len(list((out / ".pack").glob("chunk-*"))) < 3:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
    assert not (out / "extract.json").exists()
    surveys = {p.name: p.stat().st_mtime_ns for p in (out / ".extract").glob("survey-*")}
    assert len(surveys) == 4
    with start(phantoms, out, slow=False) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    cut(phantoms, tmp_path / "at-once", ExtractConfig(per_slide=30))
    for name in NAMES:
        assert (out / name).read_bytes() == (tmp_path / "at-once" / name).read_bytes(), name
