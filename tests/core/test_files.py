import errno
import subprocess
import sys
from pathlib import Path

import pytest

from sentinode.core import (
    atomic_path,
    folder_lock,
    hash_file,
    hash_json,
    need_disk,
    read_json,
    write_json,
    write_text,
)
from sentinode.errors import (
    BusyError,
    DiskFullError,
    InputError,
    MissingInputError,
    SentinodeError,
)


def test_nothing_is_left_of_a_write_that_fails(tmp_path: Path) -> None:
    target = tmp_path / "a" / "file.txt"
    write_text(target, "before")

    def fail_half_way() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail_half_way()
    assert target.read_text() == "before"
    assert [p.name for p in target.parent.iterdir()] == ["file.txt"]


def test_a_full_disk_is_said_plainly(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    with pytest.raises(DiskFullError, match=r"disk is full.*file\.txt"), atomic_path(target):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_other_os_errors_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="stale") as caught, atomic_path(tmp_path / "x"):
        raise OSError(errno.ESTALE, "stale")
    assert not isinstance(caught.value, SentinodeError)


def test_a_folder_in_the_way_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder, expected the name of a file"):
        write_text(tmp_path, "words")
    with pytest.raises(InputError, match="is a folder, expected the name of a file"):
        write_text(Path(), "words")
    with pytest.raises(InputError, match=r"cannot write .*: File name too long"):
        write_text(tmp_path / ("x" * 300), "words")
    with pytest.raises(InputError, match="expected a JSON file, got the folder"):
        read_json(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_way_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="expected a folder"), folder_lock(tmp_path / "file"):
        pass
    with pytest.raises(InputError, match="is a file, expected a folder"):
        write_text(tmp_path / "file" / "below.txt", "x")


def test_need_disk_refuses_before_starting(tmp_path: Path) -> None:
    need_disk(tmp_path, 10, "a little")
    with pytest.raises(DiskFullError, match=r"a set needs 1000000\d*\.00 GB"):
        need_disk(tmp_path / "not" / "there", 10**18, "a set")


def test_a_folder_has_one_writer_and_kill_frees_it(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from sentinode.core import folder_lock\n"
        "with folder_lock(Path(sys.argv[1])):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BusyError, match="another sentinode process"), folder_lock(tmp_path):
            pass
        holder.kill()
    with folder_lock(tmp_path):
        assert (tmp_path / ".lock").exists()


def test_json_is_sorted_strict_and_hashed(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"b": 1, "a": [1.5, None]})
    assert read_json(path) == {"a": [1.5, None], "b": 1}
    assert path.read_text().index('"a"') < path.read_text().index('"b"')
    assert hash_json({"a": 1, "b": 2}) == hash_json({"b": 2, "a": 1})
    assert len(hash_file(path)) == 64
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, float("nan"))
    path.write_text('{"cut')
    with pytest.raises(InputError, match="damaged"):
        read_json(path)
    with pytest.raises(MissingInputError, match="no file"):
        read_json(tmp_path / "none.json")
