import gzip
import hashlib
import os
import signal
import stat
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sentinode.core import files as core_files
from sentinode.data import download as download_module
from sentinode.data import fetch as fetch_module
from sentinode.data.download import PCAM_FILES, PublishedFile, download_kaggle, download_pcam
from sentinode.data.fetch import fetch
from sentinode.errors import DiskFullError, InputError, MissingExtraError, NetworkError

CONTENT = bytes(range(256)) * 4096  # 1 MiB
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves one content, with the troubles asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {"file": CONTENT}
        self.break_after: list[int] = []  # bytes of an answer before it breaks off, one an answer
        self.codes: list[int] = []  # answers before the first good one
        self.ranges = True
        self.tag = '"one"'
        self.slow = 0.0
        self.wait = "0"  # s, or a date, which a busy answer asks for
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no trouble."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        server = self.server
        asked = self.headers.get("Range", "")
        server.asked.append(asked)
        if server.codes:
            self.send_response(server.codes.pop(0))
            self.send_header("Retry-After", server.wait)
            self.end_headers()
            return
        content = server.files.get(self.path.strip("/"))
        if content is None:
            self.send_response(404)
            self.end_headers()
            return
        start = 0
        if asked and server.ranges and self.headers.get("If-Range") == server.tag:
            start = int(asked.removeprefix("bytes=").partition("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("ETag", server.tag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        stop = server.break_after.pop(0) if server.break_after else len(content)
        body = content[start : start + stop]
        for at in range(0, len(body), 65536):
            self.wfile.write(body[at : at + 65536])
            time.sleep(server.slow)
        if stop < len(content) - start:
            self.close_connection = True


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(fetch_module, "FIRST_WAIT", 0.01)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    running = Server()
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


def test_a_broken_transfer_goes_on(server: Server, tmp_path: Path) -> None:
    server.break_after = [300_000, 300_000]
    fetch(f"{server.url}/file", tmp_path / "f", MD5)
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert server.asked == ["", "bytes=300000-", "bytes=600000-"]
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_a_server_that_cannot_go_on_is_begun_anew(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    server.break_after = [300_000]
    fetch(f"{server.url}/file", tmp_path / "f", MD5)
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_a_file_that_changed_in_between_is_begun_anew(server: Server, tmp_path: Path) -> None:
    (tmp_path / "f.part").write_bytes(b"x" * 1000)
    (tmp_path / "f.part.json").write_text('{"tag": "\\"zero\\"", "size": "1048576"}')
    fetch(f"{server.url}/file", tmp_path / "f", MD5)
    assert server.asked == ["bytes=1000-"]
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_busy_answers_are_tried_again_and_final_ones_not(server: Server, tmp_path: Path) -> None:
    server.codes = [429, 500, 503]
    fetch(f"{server.url}/file", tmp_path / "f", MD5)
    assert len(server.asked) == 4
    with pytest.raises(NetworkError, match=r"answers 404 .* by hand: fetch http"):
        fetch(f"{server.url}/none", tmp_path / "g", None)
    server.codes = [503] * 20
    with pytest.raises(NetworkError, match="answers 503"):
        fetch(f"{server.url}/file", tmp_path / "g", MD5)


def test_a_server_may_ask_to_wait_by_a_number_or_a_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_module.time, "time", lambda: 1_445_412_480.0)
    for asked, seconds in (
        ("Wed, 21 Oct 2015 07:28:09 GMT", 9.0),
        ("Wed, 21 Oct 2015 07:00:00 GMT", 0.0),  # gone by
        ("Wed, 21 Oct 2115 07:28:00 GMT", fetch_module.LONGEST_WAIT),
        ("3", 3.0),
        ("-3", 0.0),
        ("", 2.0),
        ("soon", 2.0),
        ("nan", 2.0),
    ):
        assert fetch_module._asked_wait(asked, 2.0) == seconds, asked


def test_an_answer_with_a_date_is_tried_again(server: Server, tmp_path: Path) -> None:
    server.codes, server.wait = [503], "Wed, 21 Oct 2015 07:28:00 GMT"
    fetch(f"{server.url}/file", tmp_path / "f", MD5)
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_a_server_that_breaks_off_for_good(server: Server, tmp_path: Path) -> None:
    server.break_after = [100_000] + [0] * 20
    with pytest.raises(NetworkError, match="broke off 6 times in a row"):
        fetch(f"{server.url}/file", tmp_path / "f", MD5)
    assert (tmp_path / "f.part").stat().st_size == 100_000
    assert not (tmp_path / "f").exists()
    server.break_after = []
    fetch(f"{server.url}/file", tmp_path / "f", MD5)
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_damaged_bytes_are_not_kept(server: Server, tmp_path: Path) -> None:
    server.files["file"] = CONTENT[:-1] + b"?"
    with pytest.raises(InputError, match=f"expected MD5 {MD5}, got .* it was removed"):
        fetch(f"{server.url}/file", tmp_path / "f", MD5)
    assert list(tmp_path.iterdir()) == []


def test_offline_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="seems to be offline"):
        fetch("http://127.0.0.1:9/file", tmp_path / "f", None)
    with pytest.raises(NetworkError, match=r"nowhere\.invalid cannot be reached"):
        fetch("http://nowhere.invalid/file", tmp_path / "f", None)


def test_a_disk_too_small(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(core_files.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DiskFullError, match=r"needs 0\.00 GB"):
        fetch(f"{server.url}/file", tmp_path / "f", MD5)
    with pytest.raises(DiskFullError, match="PatchCamelyon, unpacked, needs"):
        download_pcam(tmp_path / "p", ["valid"], base_url=server.url)
    assert len(server.asked) == 1


def test_killed_and_started_again(server: Server, tmp_path: Path) -> None:
    server.slow = 0.1
    code = (
        "import sys; from pathlib import Path; from sentinode.data.fetch import fetch; "
        "fetch(sys.argv[1], Path(sys.argv[2]), sys.argv[3])"
    )
    command = [sys.executable, "-c", code, f"{server.url}/file", str(tmp_path / "f"), MD5]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    part = tmp_path / "f.part"
    for _ in range(600):
        if part.is_file() and part.stat().st_size > 0:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    have = part.stat().st_size
    assert 0 < have < len(CONTENT)
    server.slow = 0
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert server.asked[-1] == f"bytes={have}-"


def published(server: Server, content: bytes = CONTENT) -> list[PublishedFile]:
    packed = gzip.compress(content, mtime=0)
    server.files |= {"a_x.h5.gz": packed, "a_meta.csv": b"wsi\ns\n"}
    return [
        PublishedFile("valid", "a_x.h5.gz", hashlib.md5(packed).hexdigest(), MD5, len(CONTENT)),
        PublishedFile("valid", "a_meta.csv", hashlib.md5(b"wsi\ns\n").hexdigest(), None, 6),
        PublishedFile("test", "never.csv", "0" * 32, None, 6),
    ]


def test_pcam_is_fetched_checked_and_unpacked(server: Server, tmp_path: Path) -> None:
    files = published(server)
    found = download_pcam(tmp_path, ["valid"], base_url=server.url, files=files)
    assert [p.name for p in found] == ["a_x.h5", "a_meta.csv"]
    assert found[0].read_bytes() == CONTENT
    assert not (tmp_path / "a_x.h5.gz").exists()
    asked = len(server.asked)
    download_pcam(tmp_path, ["valid"], base_url=server.url, files=files)
    assert len(server.asked) == asked
    found[0].write_bytes(b"half")
    (tmp_path / ".a_x.1.partial.h5").write_bytes(b"half")  # as a kill while unpacking leaves it
    download_pcam(tmp_path, ["valid"], base_url=server.url, files=files)
    assert found[0].read_bytes() == CONTENT
    assert {p.name for p in tmp_path.iterdir()} == {"a_x.h5", "a_meta.csv", ".lock"}


def test_an_archive_of_something_else_is_not_kept(server: Server, tmp_path: Path) -> None:
    files = published(server, content=b"other")
    with pytest.raises(InputError, match=f"a_x.h5, unpacked, has MD5 .*, expected {MD5}"):
        download_pcam(tmp_path, ["valid"], base_url=server.url, files=files)
    assert not (tmp_path / "a_x.h5").exists()


def test_the_published_table_is_complete() -> None:
    assert len(PCAM_FILES) == 9
    assert len({f.md5 for f in PCAM_FILES}) == 9
    assert all((f.unpacked_md5 is None) == f.name.endswith(".csv") for f in PCAM_FILES)
    assert len({f.unpacked_md5 for f in PCAM_FILES if f.unpacked_md5}) == 6
    with pytest.raises(InputError, match="split 'dev' is not known"):
        download_pcam(Path("x"), ["dev"])


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for Kaggle's client that copies the archive beside it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "kaggle"
    script.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, sys\n"
        "at = pathlib.Path(__file__).parent / 'archive.zip'\n"
        "if not at.exists():\n"
        "    print('403 - Forbidden: accept the rules'); sys.exit(1)\n"
        "assert sys.argv[1:5] == ['competitions', 'download', '-c', "
        f"{download_module.KAGGLE!r}]\n"
        f"to = pathlib.Path(sys.argv[6]) / '{download_module.KAGGLE}.zip'\n"
        "whole = at.read_bytes()\n"
        "if at.with_name('broken').exists():\n"
        "    to.write_bytes(whole[:40]); at.with_name('broken').unlink(); sys.exit(-9)\n"
        "if not to.exists():  # else it takes what is there for the whole\n"
        "    to.write_bytes(whole)\n"
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "config"))
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "kaggle.json").write_text("{}")
    return folder


def archive(folder: Path, *names: str) -> None:
    with zipfile.ZipFile(folder / "archive.zip", "w") as opened:
        for name in names:
            opened.writestr(name, name * 10)


def test_kaggle_through_its_client(client: Path, tmp_path: Path) -> None:
    archive(client, "train/a.tif", "train_labels.csv")
    (tmp_path / "k" / "train").mkdir(parents=True)
    (tmp_path / "k" / "train" / "a.tif").write_text("train/a.tif" * 9)  # cut short
    download_kaggle(tmp_path / "k")
    assert (tmp_path / "k" / "train" / "a.tif").read_text() == "train/a.tif" * 10
    assert {p.name for p in (tmp_path / "k").iterdir()} == {"train", "train_labels.csv", ".lock"}


def test_kaggles_client_is_called_again_where_it_broke_off(client: Path, tmp_path: Path) -> None:
    archive(client, "train/a.tif", "train_labels.csv")
    (client / "broken").touch()
    with pytest.raises(NetworkError, match="Kaggle's client failed"):
        download_kaggle(tmp_path / "k")
    assert not (tmp_path / "k" / f"{download_module.KAGGLE}.zip").exists()
    download_kaggle(tmp_path / "k")
    assert {p.name for p in (tmp_path / "k").iterdir()} == {"train", "train_labels.csv", ".lock"}
    (client / "archive.zip").write_bytes(b"a page of excuses")
    with pytest.raises(NetworkError, match="ended without a whole"):
        download_kaggle(tmp_path / "k2")


def test_what_kaggle_lacks_is_said(
    client: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NetworkError, match=r"403 - Forbidden.* by hand: 1\. accept the rules"):
        download_kaggle(tmp_path / "k")
    archive(client, "../outside.txt")
    with pytest.raises(InputError, match="would lie outside"):
        download_kaggle(tmp_path / "k")
    assert not (tmp_path / "outside.txt").exists()
    (tmp_path / "k" / f"{download_module.KAGGLE}.zip").write_bytes(b"no zip")
    with pytest.raises(InputError, match="is damaged"):
        download_kaggle(tmp_path / "k")
    (tmp_path / "k" / f"{download_module.KAGGLE}.zip").unlink()
    (tmp_path / "config" / "kaggle.json").unlink()
    with pytest.raises(MissingExtraError, match="credentials are missing"):
        download_kaggle(tmp_path / "k")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingExtraError, match=r"not installed .* 2\. unpack"):
        download_kaggle(tmp_path / "k")
