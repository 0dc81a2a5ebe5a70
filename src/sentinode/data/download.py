"""PatchCamelyon from Zenodo, and the Kaggle set through Kaggle's own client."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

from sentinode.core import Progress, atomic_path, folder_lock, make_folder, need_disk
from sentinode.data.fetch import fetch, md5_of
from sentinode.errors import InputError, MissingExtraError, NetworkError

__all__ = ["KAGGLE", "PCAM_FILES", "SPLITS", "ZENODO", "download_kaggle", "download_pcam"]

ZENODO = "https://zenodo.org/records/2546921/files"
KAGGLE = "histopathologic-cancer-detection"
KAGGLE_PAGE = f"https://www.kaggle.com/competitions/{KAGGLE}/data"
SPLITS = ("train", "valid", "test")
COUNTS = {"train": 262_144, "valid": 32_768, "test": 32_768}
PATCH_BYTES = 96 * 96 * 3

Split = Literal["train", "valid", "test"]


@final
@dataclass(frozen=True)
class PublishedFile:
    """A file of the record.

    Attributes:
        split: train, valid or test.
        name: As it is transferred.
        md5: Of the file as it is transferred.
        unpacked_md5: Of what gunzip makes of it, or None for a file that is not gzipped.
        unpacked_bytes: Its size then, about.
    """

    split: str
    name: str
    md5: str
    unpacked_md5: str | None
    unpacked_bytes: int

    @property
    def final_name(self) -> str:
        """Its name when it is unpacked."""
        return self.name.removesuffix(".gz")


# As transferred: pcam issue 1 and torchvision's PCAM class since 0.14; the table in pcam's README
# had those of valid and test exchanged. Unpacked: eva's PatchCamelyon class.
_SUMS = {
    "train_x": ("1571f514728f59376b705fc836ff4b63", "01844da899645b4d6f84946d417ba453"),
    "train_y": ("35c2d7259d906cfc8143347bb8e05be7", "0781386bf6c2fb62d58ff18891466aca"),
    "valid_x": ("d5b63470df7cfa627aeec8b9dc0c066e", "81cf9680f1724c40673f10dc88e909b1"),
    "valid_y": ("2b85f58b927af9964a4c15b8f7e8f179", "94d8aacc249253159ce2a2e78a86e658"),
    "test_x": ("d8c2d60d490dbd479f8199bdfa0cf6ec", "2614b2e6717d6356be141d9d6dbfcb7e"),
    "test_y": ("60a7035772fbdb7f34eb86d4420cf66a", "11ed647efe9fe457a4eb45df1dba19ba"),
    "train_meta": ("5a3dd671e465cfd74b5b822125e65b0a", None),
    "valid_meta": ("67589e00a4a37ec317f2d1932c7502ca", None),
    "test_meta": ("3455fd69135b66734e1008f3af684566", None),
}


def _published(key: str, md5: str, unpacked: str | None) -> PublishedFile:
    split, _, kind = key.partition("_")
    ending = "csv" if unpacked is None else "h5.gz"
    size = COUNTS[split] * PATCH_BYTES if kind == "x" else COUNTS[split]
    name = f"camelyonpatch_level_2_split_{key}.{ending}"
    return PublishedFile(split, name, md5, unpacked, size)


PCAM_FILES: tuple[PublishedFile, ...] = tuple(_published(k, *sums) for k, sums in _SUMS.items())


def download_pcam(
    out: Path,
    splits: Sequence[str] = SPLITS,
    *,
    base_url: str = ZENODO,
    files: Sequence[PublishedFile] = PCAM_FILES,
) -> list[Path]:
    """Fetch PatchCamelyon, check it and unpack it; what is there already is kept.

    Args:
        out: Folder to fetch into.
        splits: Which of train, valid and test.
        base_url: Folder of the files on the web.
        files: Names and checksums.

    Returns:
        The files, unpacked, in order.

    Raises:
        InputError: A split is not known, or a file came damaged; it is removed.
        NetworkError: It cannot be fetched; what came is kept.
        DiskFullError: There is no room for all of it.
        BusyError: Another process writes to ``out``.
    """
    unknown = [s for s in splits if s not in SPLITS]
    if unknown:
        raise InputError(f"split {unknown[0]!r} is not known; expected {', '.join(SPLITS)}")
    wanted = [f for f in files if f.split in splits]
    with folder_lock(out):
        _clear(out)
        missing = [f for f in wanted if not _is_there(out, f)]
        sizes = [f.unpacked_bytes for f in missing]
        if sizes:  # an archive stays beside what is unpacked from it until that is checked
            need_disk(out, sum(sizes) + max(sizes), "PatchCamelyon, unpacked,")
        for file in missing:
            arrived = out / file.name
            if not (arrived.is_file() and md5_of(arrived) == file.md5):
                fetch(f"{base_url}/{file.name}", arrived, file.md5)
            if file.unpacked_md5 is not None:
                _unpack(arrived, out / file.final_name, file.unpacked_md5)
        return [out / f.final_name for f in wanted]


def _clear(out: Path) -> None:
    """Remove what a process that was killed was unpacking."""
    for stray in out.glob(".*.partial.*"):
        stray.unlink()


def _is_there(out: Path, file: PublishedFile) -> bool:
    path = out / file.final_name
    if not path.is_file():
        return False
    return md5_of(path) == (file.unpacked_md5 or file.md5)


def _unpack(archive: Path, path: Path, md5: str) -> None:
    try:
        with (
            Progress(f"unpack {archive.name}", None, unit="MB") as progress,
            gzip.open(archive, "rb") as source,
            atomic_path(path) as temporary,
        ):
            with temporary.open("wb") as target:
                while block := source.read(2**22):
                    target.write(block)
                    progress.advance(len(block) / 1e6)
            came = md5_of(temporary)
            if came != md5:
                raise InputError(
                    f"{path.name}, unpacked, has MD5 {came}, expected {md5}; remove {archive} and "
                    "give the same command again"
                )
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"{archive} is damaged or ends early ({error}); remove it and give the same command "
            "again"
        ) from error
    archive.unlink()


def download_kaggle(out: Path) -> Path:
    """Fetch Kaggle's Histopathologic Cancer Detection with the installed client, and unpack it.

    Args:
        out: Folder that gets ``train/``, ``test/`` and the CSV files.

    Raises:
        MissingExtraError: The client or its credentials are missing; the message says how to do
            it by hand.
        NetworkError: The client failed.
        InputError: The archive is damaged.
        DiskFullError: There is no room.
    """
    with folder_lock(out):
        archive = out / f"{KAGGLE}.zip"
        if not archive.is_file():
            _fetch_kaggle(archive)
        _unzip(archive, out)
        archive.unlink()
    return out


def _by_hand(out: Path) -> str:
    return (
        f"by hand: 1. accept the rules at {KAGGLE_PAGE} and download all; "
        f"2. unpack the zip file into {out}"
    )


def _fetch_kaggle(archive: Path) -> None:
    """Let the client fetch the archive beside its place; it gets its name when it is whole.

    What the client left when it was interrupted it may go on from, or take for the whole; then
    it is called once more with nothing there.
    """
    out = archive.parent
    work = out / ".fetch"  # not .kaggle, the folder of the client's credentials
    make_folder(work)
    part = work / archive.name
    went_on = part.is_file()
    _call_kaggle(out, work)
    if went_on and not zipfile.is_zipfile(part):
        part.unlink(missing_ok=True)
        _call_kaggle(out, work)
    if not zipfile.is_zipfile(part):
        raise NetworkError(f"Kaggle's client ended without a whole {archive}; {_by_hand(out)}")
    part.replace(archive)
    shutil.rmtree(work)


def _call_kaggle(out: Path, work: Path) -> None:
    client = shutil.which("kaggle")
    if client is None:
        raise MissingExtraError(
            f"Kaggle's client is not installed (pip install kaggle); {_by_hand(out)}"
        )
    if not _has_credentials():
        raise MissingExtraError(
            "Kaggle's credentials are missing (an API token in ~/.kaggle/kaggle.json, or "
            f"KAGGLE_USERNAME and KAGGLE_KEY); {_by_hand(out)}"
        )
    command = [client, "competitions", "download", "-c", KAGGLE, "-p", str(work)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        said = done.stdout.decode(errors="replace").strip().splitlines()
        raise NetworkError(f"Kaggle's client failed: {said[-1] if said else '?'}; {_by_hand(out)}")


def _has_credentials() -> bool:
    environment = os.environ
    if environment.get("KAGGLE_API_TOKEN"):
        return True
    if environment.get("KAGGLE_USERNAME") and environment.get("KAGGLE_KEY"):
        return True
    folder = Path(environment.get("KAGGLE_CONFIG_DIR") or Path.home() / ".kaggle")
    return any((folder / name).is_file() for name in ("kaggle.json", "access_token"))


def _unzip(archive: Path, out: Path) -> None:
    """Unpack file by file; those that are there in their full size are kept."""
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [m for m in opened.infolist() if not m.is_dir()]
            root = out.resolve()
            for member in members:
                if not (root / member.filename).resolve().is_relative_to(root):
                    raise InputError(f"{archive}: {member.filename!r} would lie outside {out}")
            missing = [m for m in members if not _same_size(out / m.filename, m.file_size)]
            need_disk(out, sum(m.file_size for m in missing), "the unpacked set")
            done = len(members) - len(missing)
            with Progress("unpack", len(members), unit="files", done=done) as progress:
                for member in missing:
                    with (
                        atomic_path(out / member.filename) as temporary,
                        opened.open(member) as source,
                        temporary.open("wb") as target,
                    ):
                        shutil.copyfileobj(source, target)
                    progress.advance()
    except (zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise InputError(
            f"{archive} is damaged ({error}); remove it and give the same command again"
        ) from error


def _same_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size
