"""Leaderboards that cannot be read are told of in a line."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sentinode.compare.boards import read_boards
from sentinode.errors import InputError


@pytest.mark.parametrize("ending", ["csv", "gz", "bz2", "xz", "zip", "zst", "tar"])
def test_a_damaged_file_is_told_of_in_a_line(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"boards.csv.{ending}"
    if ending in ("csv", "zst", "tar"):
        path.write_bytes(b'name,public\n"good,0.8\n')
    else:
        whole = pd.DataFrame({"name": [f"run-{i}" for i in range(99)], "public": 0.5})
        whole.to_csv(path)
        content = path.read_bytes()
        path.write_bytes(content[:40] + bytes(20) + content[60 : len(content) // 2])
    with pytest.raises(InputError, match=r"boards.*: expected CSV with a header, .") as found:
        read_boards(path, ["good"])
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("score", ["inf", "-inf"])
def test_an_infinite_score_is_refused_by_name(score: str, tmp_path: Path) -> None:
    path = tmp_path / "boards.csv"
    path.write_text(f"name,public,private\ngood,0.8,\nbad,0.7,{score}\n")
    with pytest.raises(InputError, match="a score of 'bad' is infinite; expected numbers"):
        read_boards(path, ["good", "bad"])
    path.write_text(
        f"fileName,publicScore,privateScore\nother.csv,0.5,inf\ngood.csv,0.8,\nbad.csv,1,{score}\n"
    )
    with pytest.raises(InputError, match="a score of 'bad' is infinite"):
        read_boards(path, ["good", "bad"])
    path.write_text("name,public,private\ngood,0.8,\nbad,,\n")
    assert read_boards(path, ["good", "bad"]) == {"good": {"public": np.float64(0.8)}, "bad": {}}


def test_a_score_that_is_no_number_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "boards.csv"
    path.write_text("name,public,private,day\ngood,0.8,0.7,Monday\nbad,0.7,pending,Friday\n")
    with pytest.raises(InputError, match="private of 'bad' is 'pending'; expected numbers"):
        read_boards(path, ["good", "bad"])
    path.write_text('name,public,private\ngood,0.8,"0,91"\nbad,0.7,"0,85"\n')
    with pytest.raises(InputError, match="private of 'good' is '0,91'; expected numbers"):
        read_boards(path, ["good", "bad"])
    path.write_text("name,public,day\ngood,0.8,Monday\nbad,0.7,4\n")
    assert read_boards(path, ["good", "bad"]) == {"good": {"public": 0.8}, "bad": {"public": 0.7}}
