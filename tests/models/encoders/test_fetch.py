from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("huggingface_hub")
import huggingface_hub
from huggingface_hub import constants, errors
from typer.testing import CliRunner

from builders.encoders import tiny_encoder
from sentinode.cli.main import app
from sentinode.errors import InputError, MissingInputError, NetworkError
from sentinode.models.encoders import fetch
from sentinode.models.encoders.source import WANTED, local_folder


def answered(kind: type[Exception], text: str) -> Exception:
    error = kind.__new__(kind)
    Exception.__init__(error, text)
    return error


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (answered(errors.GatedRepoError, "403"), "accept its terms at https://huggingface.co/Mah"),
        (answered(errors.RepositoryNotFoundError, "404"), "no repository MahmoodLab/UNI"),
        (answered(errors.HfHubHTTPError, "502"), "the same command goes on"),
        (errors.LocalEntryNotFoundError("no connection"), "no connection"),
        (ConnectionError("broken off"), "broken off"),
    ],
)
def test_why_it_cannot_be_fetched_is_said(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, said: str
) -> None:
    online: list[bool] = []

    def refuse(repository: str, **settings: object) -> str:
        online.append(not constants.HF_HUB_OFFLINE)
        raise raised

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(NetworkError, match=said):
        fetch("uni")
    assert online == [True]
    assert constants.HF_HUB_OFFLINE  # again
    assert constants.HF_HUB_DISABLE_TELEMETRY


def test_what_was_fetched_is_asked_for_again_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []

    def absent(repository: str, **settings: object) -> str:
        asked.append(settings)
        raise FileNotFoundError

    monkeypatch.setattr(huggingface_hub, "snapshot_download", absent)
    assert local_folder("owlab/encoder") is None
    assert asked == [{"local_files_only": True, "allow_patterns": WANTED}]


def test_a_pickle_alone_is_said_once_it_is_fetched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[object] = []

    def give(repository: str, **settings: object) -> str:
        asked.append(settings["allow_patterns"])
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", give)
    with pytest.raises(MissingInputError, match="no safetensors"):
        fetch("uni")
    assert not any("bin" in pattern or pattern == "*" for pattern in asked[0])  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="not at the hub"):
        fetch("monai:resnet18")


def test_the_licence_is_shown_before_anything_is_fetched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import sentinode.models.encoders

    folder = tiny_encoder(tmp_path / "encoder")
    order: list[str] = []

    def give(name: str) -> object:
        order.append("fetched")
        weights = folder / "model.safetensors"
        return SimpleNamespace(files=[weights], weights_hash=lambda: "0" * 64)

    def echo(text: str = "", **more: object) -> None:
        order.append(text)

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sentinode.models.encoders, "fetch", give)
    monkeypatch.setattr("typer.echo", echo)
    app(["encoders", "uni2-h", "--download"], standalone_mode=False)
    licence = next(i for i, line in enumerate(order) if line.startswith("licence: CC-BY-NC-ND"))
    assert "gated" in order[licence]
    assert licence < order.index("fetched")
    assert "on this machine: no" in order


def test_the_list_says_licence_and_gating() -> None:
    shown = CliRunner().invoke(app, ["encoders"]).output
    for text in ("kaiko-ai/midnight", "CC-BY-NC-ND-4.0", "Owkin non-commercial licence", "gated"):
        assert text in shown
    assert (
        '"repository": "owkin/phikon-v2"'
        in CliRunner().invoke(app, ["encoders", "phikon-v2", "--json"]).output
    )
