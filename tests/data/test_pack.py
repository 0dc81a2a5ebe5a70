import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from builders.sources import SIDE, damaged, kaggle, picture, save
from sentinode.config import PackConfig
from sentinode.core import hash_bytes
from sentinode.data import chunks, open_source, pack, packing
from sentinode.data.source import FileSource
from sentinode.errors import DiskFullError, InputError


def bytes_of(folder: Path) -> dict[str, bytes]:
    names = ("images.npy", "manifest.parquet", "meta.json")
    return {name: (folder / name).read_bytes() for name in names}


def test_pixels_statistics_and_hashes(tmp_path: Path) -> None:
    packed = pack(open_source(kaggle(tmp_path / "k")), tmp_path / "set", PackConfig())
    assert packed.meta.size == SIDE
    frame = packed.manifest.frame
    for row, name in enumerate(frame["id"]):
        pixels = picture(int(name[1:]))
        np.testing.assert_array_equal(packed.images[row], pixels)
        assert frame["sha256"].iloc[row] == hash_bytes(pixels.tobytes())
        assert (frame["min"].iloc[row], frame["max"].iloc[row]) == (pixels.min(), pixels.max())
        found = frame.loc[row, ["mean_r", "mean_g", "mean_b", "std_r", "std_g", "std_b"]]
        flat = pixels.reshape(-1, 3)
        expected = [*flat.mean(0), *flat.std(0)]
        np.testing.assert_allclose(found.to_numpy(float), expected, rtol=1e-5)


def test_workers_do_not_change_a_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = kaggle(tmp_path / "k", labelled=60)
    pack(open_source(root), tmp_path / "one", PackConfig(workers=1))
    monkeypatch.setattr(chunks, "FEW", 0)
    monkeypatch.setattr("sentinode.data.packing.CHUNK", 16)
    pack(open_source(root), tmp_path / "two", PackConfig(workers=2))
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")


def test_wrong_patches_are_put_aside_with_their_reason(tmp_path: Path) -> None:
    root = tmp_path / "folder"
    reasons = damaged(root / "0")
    for i in range(30):
        save(root / "1" / f"p{i:02d}.tif", picture(100 + i))
    packed = pack(open_source(root), tmp_path / "set", PackConfig())
    frame = packed.manifest.frame.set_index("path")
    assert frame["problem"].notna().sum() == len(reasons)
    for name, words in reasons.items():
        assert words in frame.loc[f"0/{name}", "problem"]
        row = frame.index.get_loc(f"0/{name}")
        assert not packed.images[row].any()
    resized = pack(open_source(root), tmp_path / "resized", PackConfig(resize=16))
    assert resized.images.shape[1:3] == (16, 16)
    assert "large.tif" not in " ".join(
        resized.manifest.frame["path"][resized.manifest.frame["problem"].notna()]
    )


def test_resized_patches_have_their_scale_or_none(tmp_path: Path) -> None:
    root = tmp_path / "folder"
    for i in range(6):
        save(root / str(i % 2) / f"p{i:02d}.tif", picture(i))
    source = open_source(root)
    side = source.read(0).shape[0]
    source.mpp = 0.5
    assert pack(source, tmp_path / "as-is", PackConfig()).meta.mpp == 0.5
    half = pack(source, tmp_path / "half", PackConfig(resize=side // 2))
    assert half.meta.mpp == pytest.approx(1.0)
    save(root / "1" / "large.tif", np.kron(picture(9), np.ones((2, 2, 1), np.uint8)))
    mixed = open_source(root)
    mixed.mpp = 0.5
    assert pack(mixed, tmp_path / "mixed", PackConfig(resize=side // 2)).meta.mpp is None


def test_nothing_usable_is_an_error(tmp_path: Path) -> None:
    damaged(tmp_path / "0")
    (tmp_path / "0" / "large.tif").unlink()
    with pytest.raises(InputError, match="none of the patches tried can be read"):
        pack(open_source(tmp_path), tmp_path / "set", PackConfig())
    assert not (tmp_path / "set" / "meta.json").exists()


def test_not_square(tmp_path: Path) -> None:
    save(tmp_path / "a" / "0" / "p.png", picture(1)[:20])
    with pytest.raises(InputError, match="24x20 px, expected squares"):
        pack(open_source(tmp_path / "a"), tmp_path / "set", PackConfig())


def test_kept_unless_the_source_or_the_settings_changed(tmp_path: Path) -> None:
    root, out = kaggle(tmp_path / "k"), tmp_path / "set"
    pack(open_source(root), out, PackConfig())
    before = (out / "images.npy").stat().st_mtime_ns
    pack(open_source(root), out, PackConfig(workers=2))
    assert (out / "images.npy").stat().st_mtime_ns == before
    save(root / "train" / "a000.tif", picture(999))
    os.utime(root / "train" / "a000.tif", ns=(1, 1))
    packed = pack(open_source(root), out, PackConfig())
    row = packed.manifest.row_of("a000")
    np.testing.assert_array_equal(packed.images[row], picture(999))
    assert pack(open_source(root), out, PackConfig(resize=12)).meta.size == 12


def test_a_full_disk_is_said_and_what_was_packed_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, out = kaggle(tmp_path / "k"), tmp_path / "set"
    full = SimpleNamespace(free=100)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: full)
        with pytest.raises(DiskFullError, match="the packed set needs"):
            pack(open_source(root), out, PackConfig())

    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", no_room)
        with pytest.raises(DiskFullError, match="disk is full"):
            pack(open_source(root), out, PackConfig())
        left = out / ".pack" / ".patches_x.4711.partial.h5"
        left.write_bytes(bytes(9))  # as by an end that let nothing be removed
        with pytest.raises(DiskFullError, match="disk is full"):
            pack(open_source(root), out, PackConfig())
        assert not left.exists()
    assert not (out / "images.npy").exists()
    assert len(pack(open_source(root), out, PackConfig()).manifest) == 24


def start(root: Path, out: Path) -> subprocess.Popen[str]:
    code = (
        "import sys, time\n"
        "import importlib\n"
        "importlib.import_module('sentinode.data.packing').CHUNK = 4\n"
        "from sentinode.data.sources import FileSource\n"
        "inner = FileSource.read\n"
        "FileSource.read = lambda self, row: (time.sleep(0.02), inner(self, row))[1]\n"
        f"sys.argv = ['sentinode', 'pack', {str(root)!r}, '--out', {str(out)!r}]\n"
        "from sentinode.cli.main import run\n"
        "run()\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_stopped_half_way_it_goes_on(how: signal.Signals, tmp_path: Path) -> None:
    root, out = kaggle(tmp_path / "k", labelled=80), tmp_path / "set"
    with start(root, out) as process:
        deadline = time.monotonic() + 60
        while len(list((out / ".pack").glob("chunk-*"))) < 3:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(how)
        _, errors = process.communicate(timeout=30)
    if how is signal.SIGINT:
        assert process.returncode == 2
        assert errors.splitlines()[-1].startswith("sentinode: interrupted")
    done = {p.name: p.stat().st_mtime_ns for p in (out / ".pack").glob("chunk-*")}
    assert len(done) >= 3
    with start(root, out) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    pack(open_source(root), tmp_path / "at-once", PackConfig())
    assert bytes_of(out) == bytes_of(tmp_path / "at-once")


@pytest.mark.parametrize("moved", [("images.npy",), ("images.npy", "coarse.npy")])
def test_stopped_while_it_is_published_no_zeros_stay(
    moved: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, out = kaggle(tmp_path / "k"), tmp_path / "set"
    write = packing.write_json

    def stop_at_meta(path: Path, value: object) -> None:
        if path.name == "meta.json":
            raise KeyboardInterrupt
        write(path, value)

    with monkeypatch.context() as patch:
        patch.setattr(packing, "write_json", stop_at_meta)
        with pytest.raises(KeyboardInterrupt):
            pack(open_source(root), out, PackConfig())
    if "coarse.npy" not in moved:
        (out / "coarse.npy").rename(out / ".pack" / "coarse.npy")
    again = pack(open_source(root), out, PackConfig())
    at_once = pack(open_source(root), tmp_path / "at-once", PackConfig())
    assert bytes_of(out) == bytes_of(tmp_path / "at-once")
    np.testing.assert_array_equal(again.coarse, at_once.coarse)


@pytest.mark.parametrize("resize", [None, 16])
def test_an_empty_source_is_an_error(resize: int | None, tmp_path: Path) -> None:
    source = FileSource("images", tmp_path, pd.DataFrame({"id": [], "path": []}))
    with pytest.raises(InputError, match="the source holds no patches"):
        pack(source, tmp_path / "set", PackConfig(resize=resize))


def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    code = (
        "import os, time\n"
        "from sentinode.core import spread\n"
        "if __name__ == '__main__':\n"
        "    next(spread(slow, None, (1, 2, 3, 4), 2))\n"
    )
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, time, pathlib\n"
        "def slow(shared, task):\n"
        f"    pathlib.Path({str(tmp_path)!r}, f'{{os.getpid()}}.pid').touch()\n"
        "    time.sleep(60)\n" + code
    )
    with subprocess.Popen([sys.executable, str(script)]) as parent:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob("*.pid"))) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        parent.kill()
    workers = [int(p.stem) for p in tmp_path.glob("*.pid")]
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)
