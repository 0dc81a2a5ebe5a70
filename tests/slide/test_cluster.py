"""Slides on real worker processes, one of which is killed while it works."""

import os
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest

from sentinode.config import SlideConfig
from sentinode.errors import InputError
from sentinode.phantom import make_slide
from sentinode.slide import Job, analyse_cohort
from sentinode.slides import write_pyramid

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    # Dask's own sockets and loops, when a worker is killed
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
CONFIG = SlideConfig(overlay_px=300, tile=4, tiles=False)


def slides_in(folder: Path, count: int) -> Path:
    for number in range(count):
        slide = make_slide(3, number, 448)
        write_pyramid(folder / f"slide_{number}.tif", slide.image, 0.97)
    return folder


def kill_a_worker_at_work(out: Path, killed: list[int]) -> None:
    """Kill the process that writes or computes the first slide, by the lock that it holds."""
    end = time.monotonic() + 240
    while time.monotonic() < end:
        locks = {str(path) for path in out.glob(".locks/*/.lock")}
        for process in psutil.Process().children(recursive=True):
            try:
                held = {file.path for file in process.open_files()} & locks
            except psutil.Error:
                continue
            if held:
                os.kill(process.pid, signal.SIGKILL)
                killed.append(process.pid)
                return
        time.sleep(0.01)


def test_a_killed_worker_loses_no_slide_and_does_none_twice(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    folder, out = slides_in(tmp_path / "in", 5), tmp_path / "out"
    (folder / "broken.tif").write_bytes(b"II*\0 no slide")
    killed: list[int] = []
    killer = threading.Thread(target=kill_a_worker_at_work, args=(out, killed))
    killer.start()
    said: list[str] = []
    job = Job("nodenet-base", out, None, CONFIG)
    cohort = analyse_cohort(job, [folder], workers=2, said=said.append)
    killer.join()
    assert len(killed) == 1
    found = {one.slide: one.status for one in cohort.outcomes}
    assert found.pop("broken") == "failed"
    assert len(found) == 5
    # one that was finished in the moment of the kill is kept and not done again
    assert set(found.values()) <= {"done", "kept", "no tissue"}
    assert list(found.values()).count("kept") <= 1
    assert len(said) == 6
    assert cohort.exit_code == 1
    assert sorted(p.name for p in out.iterdir() if p.is_dir() and p.name != ".locks") == sorted(
        found
    )
    marks = {p: p.stat().st_mtime_ns for p in out.glob("*/summary.json")}
    assert len(marks) == 5
    again = analyse_cohort(job, [folder], workers=2)
    assert {one.status for one in again.outcomes} <= {"kept", "no tissue", "failed"}
    assert marks == {p: p.stat().st_mtime_ns for p in out.glob("*/summary.json")}


def test_a_scheduler_that_does_not_answer_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentinode.slide.cluster.CONNECT_S", 1)
    slides_in(tmp_path, 1)
    job = Job("nodenet-base", tmp_path / "out", None, CONFIG)
    for address in ("tcp://127.0.0.1:9", "head", "foo://head:8786"):
        with pytest.raises(InputError, match=f"no Dask scheduler answers at {address}"):
            analyse_cohort(job, [tmp_path], scheduler=address)
