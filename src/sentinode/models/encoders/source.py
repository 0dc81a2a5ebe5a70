"""Where an encoder's configuration and weights lie, and how they come there.

Nothing here opens a connection but :func:`fetch`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from sentinode.core import first_line, hash_file, hash_json, read_json, require, unknown_name
from sentinode.errors import CheckpointError, InputError, MissingInputError, NetworkError
from sentinode.models.encoders.known import KNOWN, KnownEncoder

__all__ = ["Source", "fetch", "find", "hub", "known_of", "local_folder", "repository_of"]

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
PREPROCESSOR = "preprocessor_config.json"
PROCESSOR = "processor_config.json"
WANTED = ["config.json", "*.safetensors", "*.safetensors.index.json", PREPROCESSOR, PROCESSOR]
ASKED_OFFLINE = os.environ.get("HF_HUB_OFFLINE", "")  # by the user, before it is set here


@final
@dataclass(frozen=True)
class Source:
    """An encoder on this machine.

    Attributes:
        name: As it was asked for.
        folder: Holds ``config.json`` and the weights.
        known: What is known of it, None for one of which nothing is.
    """

    name: str
    folder: Path
    known: KnownEncoder | None

    @property
    def config(self) -> dict[str, Any]:
        """``config.json``, empty where there is none."""
        return _object(self.folder / CONFIG)

    @property
    def preprocessor(self) -> dict[str, Any]:
        """``preprocessor_config.json``, or that part of a later form; empty where there is none."""
        later = _object(self.folder / PROCESSOR).get("image_processor", {})
        return _object(self.folder / PREPROCESSOR) or later

    @property
    def files(self) -> list[Path]:
        """The files of its weights.

        Raises:
            MissingInputError: There are none, or as a pickle only.
        """
        found = sorted(self.folder.glob("*.safetensors"))
        whole = [path for path in found if path.name == WEIGHTS]
        if found:
            return whole or found
        pickles = [p.name for p in self.folder.iterdir() if p.suffix in (".bin", ".pth", ".pt")]
        if pickles:
            raise MissingInputError(
                f"{self.folder} holds {pickles[0]}, a pickle, which is never loaded; write it as "
                f"{WEIGHTS} once (docs/encoders.md) and name that folder in model.encoder_folder"
            )
        raise MissingInputError(f"{self.folder} holds no {WEIGHTS}")

    def weights_hash(self) -> str:
        """SHA-256 of the weights: of the file, or of the hashes of its shards."""
        hashes = {path.name: hash_file(path) for path in self.files}
        return next(iter(hashes.values())) if len(hashes) == 1 else hash_json(hashes)


def _object(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    values = read_json(path)
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} is damaged: expected an object")
    return values


def known_of(name: str) -> KnownEncoder | None:
    """Return what is known of an encoder by its short name or repository."""
    if name in KNOWN:
        return KNOWN[name]
    repository = name.removeprefix("hf:").lower()
    return next((k for k in KNOWN.values() if k.repository.lower() == repository), None)


def repository_of(name: str) -> str | None:
    """Return the hub's repository of an encoder, None for a folder and for MONAI.

    Raises:
        InputError: The name says neither a known encoder nor a library and no folder.
    """
    known = known_of(name)
    if known is not None:
        return known.repository
    if name.startswith("timm:"):
        return f"timm/{name.removeprefix('timm:')}"
    if name.startswith("hf:"):
        return name.removeprefix("hf:")
    if name.startswith("monai:") or Path(name).is_dir():
        return None
    raise InputError(
        f"{unknown_name('encoder', name, KNOWN)}; others are named as hf:OWNER/NAME, timm:NAME, "
        "monai:NAME or the path of a folder"
    )


def find(name: str, folder: Path | None = None) -> Source:
    """Find an encoder on this machine.

    Args:
        name: Short name, ``hf:OWNER/NAME``, ``timm:NAME``, ``monai:NAME`` or a folder.
        folder: Where its files lie, if not where the hub's own client keeps them.

    Raises:
        InputError: The name says nothing.
        MissingInputError: It is not here; the message says how to fetch it.
    """
    repository = repository_of(name)
    if folder is not None:
        if not folder.is_dir():
            raise MissingInputError(f"no folder {folder} with the files of encoder {name}")
        return Source(name, folder, known_of(name))
    if repository is None and not name.startswith("monai:"):
        return Source(name, Path(name), None)
    if repository is None:
        raise MissingInputError(
            f"{name} has no weights of its own; name a folder with {WEIGHTS} in "
            "model.encoder_folder, or train it whole from scratch with model.mode=finetune"
        )
    here = local_folder(repository)
    if here is None:
        raise MissingInputError(
            f"encoder {name} is not on this machine; see its licence and fetch it with: "
            f"sentinode encoders {name} --download"
        )
    return Source(name, here, known_of(name))


def hub(*, download: bool = False) -> Any:
    """Return the hub's client: without telemetry, and offline unless it is to download.

    Raises:
        MissingExtraError: It is not installed.
    """
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["HF_HUB_OFFLINE"] = (ASKED_OFFLINE or "0") if download else "1"
    client = require("huggingface_hub", extra="encoders", purpose="a pretrained encoder")
    constants: Any = require("huggingface_hub.constants", extra="encoders", purpose="an encoder")
    require("huggingface_hub.errors", extra="encoders", purpose="an encoder")
    constants.HF_HUB_DISABLE_TELEMETRY = True
    constants.HF_HUB_OFFLINE = os.environ["HF_HUB_OFFLINE"] not in ("", "0")
    return client


def local_folder(repository: str) -> Path | None:
    """Return where the hub's client keeps a repository, None where it was never fetched."""
    client = hub()
    try:
        return Path(
            client.snapshot_download(repository, local_files_only=True, allow_patterns=WANTED)
        )
    except FileNotFoundError:
        return None
    except client.errors.HFValidationError as error:
        raise InputError(f"{repository!r} is no repository: expected OWNER/NAME") from error


def fetch(name: str) -> Source:
    """Fetch an encoder's configuration and weights from the hub; nothing else of it.

    A broken transfer goes on where it stopped when asked again.

    Raises:
        InputError: The encoder is no repository of the hub.
        MissingInputError: It publishes a pickle only.
        NetworkError: It cannot be reached, or its terms were not accepted.
    """
    repository = repository_of(name)
    if repository is None:
        raise InputError(f"{name} is not at the hub; there is nothing to download")
    client = hub(download=True)
    try:
        folder = Path(client.snapshot_download(repository, allow_patterns=WANTED))
    except client.errors.GatedRepoError as error:
        raise NetworkError(
            f"{repository} is gated: accept its terms at https://huggingface.co/{repository}, then "
            "make this machine known with: hf auth login"
        ) from error
    except client.errors.RepositoryNotFoundError as error:
        raise NetworkError(f"there is no repository {repository}, or it is not yours") from error
    except (OSError, client.errors.HfHubHTTPError) as error:
        raise NetworkError(
            f"{repository} cannot be fetched ({first_line(error)}); the same command goes on "
            "with it"
        ) from error
    finally:
        hub()
    source = Source(name, folder, known_of(name))
    try:
        _ = source.files
    except MissingInputError as error:
        raise MissingInputError(
            f"{repository} holds no safetensors; where it publishes a pickle, write that as "
            f"{WEIGHTS} once, as docs/encoders.md shows, and name the folder in "
            "model.encoder_folder"
        ) from error
    return source
