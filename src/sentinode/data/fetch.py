"""One file over HTTP: goes on where a broken transfer stopped, and is checked before it counts."""

from __future__ import annotations

import hashlib
import http.client
import math
import socket
import time
import urllib.error
import urllib.request
from email.message import Message
from email.utils import mktime_tz, parsedate_tz
from pathlib import Path
from typing import IO

from sentinode.core import Progress, make_folder, need_disk, read_json, write_json
from sentinode.errors import InputError, NetworkError, SentinodeError

__all__ = ["fetch", "md5_of"]

ATTEMPTS = 6  # in a row without a byte
FIRST_WAIT = 1.0  # s, doubled after each of them
LONGEST_WAIT = 60.0
TIMEOUT = 30.0
BLOCK = 2**18
AGAIN = {408, 425, 429, 500, 502, 503, 504}  # answers that another attempt may better


def fetch(url: str, path: Path, md5: str | None) -> None:
    """Fetch a file; a part of it that is there already is gone on from.

    The part lies beside ``path`` as ``NAME.part``, with what the server said of the file, so that
    it is begun anew where the file has changed or the server cannot go on.

    Args:
        url: http or https.
        path: Where it shall lie; there only when it is whole.
        md5: Of the file as it is transferred, or None where it is not known.

    Raises:
        NetworkError: The server cannot be reached, refuses, or breaks off again and again; what
            came is kept.
        InputError: What came has another checksum; it is removed.
        DiskFullError: There is no room.
    """
    make_folder(path.parent)
    part = path.with_name(path.name + ".part")
    failures = 0
    with Progress(f"fetch {path.name}", None, unit="MB") as progress:
        while True:
            before = _size(part)
            try:
                _go_on(url, part, progress)
                break
            except (OSError, http.client.HTTPException) as error:
                failures = 1 if _size(part) > before else failures + 1
                _give_up_or_wait(error, url, path, failures)
    _accept(part, path, md5)


def md5_of(path: Path) -> str:
    """Return the MD5 of a file; it guards against damage, not against intent."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _go_on(url: str, part: Path, progress: Progress) -> None:
    """Fetch what is missing of ``part``; return when it is whole, raise when it broke off."""
    known, have = _known(part), _size(part)
    headers = {"User-Agent": "sentinode", "Accept-Encoding": "identity"}
    if have and known.get("tag"):
        headers |= {"Range": f"bytes={have}-", "If-Range": known["tag"]}
    try:
        answer = urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=TIMEOUT
        )
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and have and str(have) == known.get("size"):
            return  # nothing is missing
        if error.code == 416:
            part.unlink(missing_ok=True)
        raise
    with answer:
        onward = answer.status == 206
        if not onward:
            have = 0
        total = _total(answer.headers, have)
        write_json(_beside(part), {"tag": _tag(answer.headers), "size": str(total or "")})
        if total is not None:
            need_disk(part.parent, total - have, part.stem)
            progress.expect(total / 1e6, have / 1e6)
        with part.open("ab" if onward else "wb", buffering=0) as target:
            _copy(answer, target, progress)
    if total is not None and _size(part) < total:
        raise ConnectionError(f"broke off at {_size(part):,} of {total:,} bytes")


def _copy(answer: http.client.HTTPResponse, target: IO[bytes], progress: Progress) -> None:
    while block := answer.read1(BLOCK):  # what has come, so that a break loses nothing
        target.write(block)
        progress.advance(len(block) / 1e6)


def _beside(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _known(part: Path) -> dict[str, str]:
    try:
        values = read_json(_beside(part))
    except SentinodeError:
        return {}
    return values if isinstance(values, dict) else {}


def _tag(headers: Message) -> str:
    """Return what tells whether the file is still the same; a weak tag does not."""
    tag = headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified", "")


def _total(headers: Message, have: int) -> int | None:
    length = headers.get("Content-Length")
    return int(length) + have if length is not None and length.isdigit() else None


def _give_up_or_wait(error: Exception, url: str, path: Path, failures: int) -> None:
    if isinstance(error, SentinodeError):  # a full disk
        raise error
    wait = min(FIRST_WAIT * 2 ** (failures - 1), LONGEST_WAIT)
    host = url.split("/")[2]
    by_hand = f"by hand: fetch {url} into {path.parent}"
    if isinstance(error, urllib.error.HTTPError):
        if error.code not in AGAIN or failures >= ATTEMPTS:
            raise NetworkError(
                f"{host} answers {error.code} ({error.reason}) for {path.name}; {by_hand}"
            ) from error
        wait = _asked_wait(error.headers.get("Retry-After", ""), wait)
    reason = getattr(error, "reason", error)
    if isinstance(reason, socket.gaierror | ConnectionRefusedError):
        raise NetworkError(
            f"{host} cannot be reached ({reason}): this machine seems to be offline, or a proxy "
            f"(HTTPS_PROXY) is needed; {by_hand}"
        ) from error
    if failures >= ATTEMPTS:
        raise NetworkError(
            f"{host} broke off {failures} times in a row without a byte ({reason}); what came of "
            f"{path.name} is kept, the same command goes on from it"
        ) from error
    time.sleep(wait)


def _asked_wait(asked: str, else_wait: float) -> float:
    """Return the seconds that a server asks to wait, by a number or a date, in bounds."""
    try:
        seconds = float(asked)
    except ValueError:
        when = parsedate_tz(asked)
        seconds = mktime_tz(when) - time.time() if when else else_wait
    return max(0.0, min(LONGEST_WAIT, seconds)) if math.isfinite(seconds) else else_wait


def _accept(part: Path, path: Path, md5: str | None) -> None:
    """Give a whole file its name, if it is what was published."""
    if md5 is not None:
        came = md5_of(part)
        if came != md5:
            part.unlink()
            _beside(part).unlink(missing_ok=True)
            raise InputError(
                f"{path.name} came damaged: expected MD5 {md5}, got {came}; it was removed, give "
                "the same command again"
            )
    part.replace(path)
    _beside(part).unlink(missing_ok=True)
