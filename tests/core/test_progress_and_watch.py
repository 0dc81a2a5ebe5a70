import time

import numpy as np
import pytest

from sentinode.core import Progress, Watch, nearest, provenance, require, unknown_name
from sentinode.errors import MissingExtraError


def test_a_log_gets_a_closing_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("pack", total=1200, done=200) as progress:
        progress.advance(1000, loss=0.25)
    shown = capsys.readouterr().err
    assert shown.startswith("pack: 1,200 of 1,200 patches")
    assert "loss 0.25" in shown


def test_the_rate_counts_this_run_only() -> None:
    with Progress("x", total=10_000_000, done=9_000_000) as progress:
        time.sleep(0.05)
        progress.advance(10)
        assert progress.rate <= 10 / 0.05


def test_watch_sees_time_and_memory() -> None:
    with Watch() as watch:
        block = np.ones(80 * 2**20, dtype=np.uint8)
        time.sleep(0.3)
    assert block.sum() == 80 * 2**20
    assert 0.3 <= watch.seconds < 30
    assert watch.peak_bytes > 80 * 2**20
    assert 80 * 2**20 < watch.peak_anonymous_bytes <= watch.peak_bytes


def test_provenance_is_the_same_each_time_and_names_no_path() -> None:
    made = provenance("pack", config={"workers": 2}, inputs={"set": "ab"}, seeds={"split": 1})
    assert made == provenance(
        "pack", config={"workers": 2}, inputs={"set": "ab"}, seeds={"split": 1}
    )
    assert made.packages["numpy"] == np.__version__
    assert made.config_hash != provenance("pack", config={"workers": 3}).config_hash


def test_a_missing_extra_names_its_command() -> None:
    assert require("json", extra="x", purpose="reading").loads("1") == 1
    with pytest.raises(MissingExtraError, match=r"pip install 'sentinode\[slides\]'"):
        require("no_such_module.part", extra="slides", purpose="reading slides")


def test_names_are_never_guessed() -> None:
    assert nearest("trian", ["train", "valid"]) == "train"
    assert nearest("zzz", ["train"]) is None
    assert "did you mean 'train'?" in unknown_name("fold", "trian", ["valid", "train"])
