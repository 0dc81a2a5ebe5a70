"""Encoders of timm and MONAI, where these are installed."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sentinode.config import ModelConfig
from sentinode.errors import CheckpointError, InputError, MissingExtraError
from sentinode.models import load_checkpoint, new_network, save_checkpoint, spec_for, state_of
from sentinode.models.encoders import KNOWN, EncoderNetwork, backbone
from sentinode.models.encoders.backbone import make_backbone


def timm() -> object:
    try:  # torchvision of another build than PyTorch raises RuntimeError
        import timm
    except (ImportError, RuntimeError) as error:
        pytest.skip(str(error))
    return timm


@pytest.mark.parametrize(
    ("architecture", "arguments", "pooling"),
    [
        (
            "vit_tiny_patch16_224",
            {"img_size": 32, "patch_size": 8, "reg_tokens": 4, "depth": 2},
            "cls",
        ),
        ("resnet18", {}, "mean"),
        ("swin_tiny_patch4_window7_224", {}, "mean"),
    ],
)
def test_timm_features_are_those_of_timm_itself(
    tmp_path: Path, architecture: str, arguments: dict[str, object], pooling: str
) -> None:
    library = timm()
    torch.manual_seed(0)
    reference = library.create_model(architecture, num_classes=5, **arguments).eval()  # type: ignore[attr-defined]
    save_file(reference.state_dict(), tmp_path / "model.safetensors")
    side = 32 if arguments else 224
    own = {"input_size": [3, side, side], "mean": [0.5, 0.4, 0.3], "std": [0.1, 0.2, 0.3]}
    config = {"architecture": architecture, "model_args": arguments, "pretrained_cfg": own}
    (tmp_path / "config.json").write_text(json.dumps(config))
    spec = spec_for(ModelConfig(name="encoder", encoder=str(tmp_path)))
    assert spec.args["pooling"] == pooling
    assert spec.preprocess.mean == (0.5, 0.4, 0.3)
    network = new_network(spec, seed=0).eval()
    assert isinstance(network, EncoderNetwork)
    patches = torch.randn(1, 3, 96, 96)
    images = torch.nn.functional.interpolate(patches, (side, side), mode="bilinear")
    with torch.no_grad():
        features = reference.forward_features(images)
        axes = (1, 2) if architecture.startswith("swin") else (2, 3)
        expected = features[:, 0] if pooling == "cls" else features.mean(axes)
        torch.testing.assert_close(network.embed(patches), expected)
    save_checkpoint(tmp_path / "run", spec, state_of(network))
    torch.testing.assert_close(load_checkpoint(tmp_path / "run")[1](patches), network(patches))


@pytest.mark.parametrize("library", ["transformers", "timm", "monai"])
def test_no_library_is_told_to_load_weights(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    given: list[object] = []

    def make(architecture: str, arguments: object) -> None:
        given.append(arguments)

    monkeypatch.setattr(backbone, f"_{library}", make)
    loads = {"checkpoint_path": "x.pth", "pretrained": True, "cache_dir": "x"}
    loads |= {"pretrained_cfg": {"file": "x.pth"}, "pretrained_cfg_overlay": {"file": "x.pth"}}
    make_backbone(library, "any", loads | {"depth": 2, "model_args": loads | {"depth": 3}})
    assert given == [{"depth": 2, "model_args": {"depth": 3}}]


@pytest.mark.parametrize("folder", ["timm", "transformers"])
def test_a_checkpoint_beside_an_encoder_of_timm_is_never_read(tmp_path: Path, folder: str) -> None:
    timm()
    pickle = tmp_path / "weights.pth"
    torch.save({"state_dict": {"no.such": torch.zeros(1)}}, pickle)
    arguments = {"checkpoint_path": str(pickle), "depth": 1, "embed_dim": 24}
    architecture = "vit_tiny_patch16_224"
    if folder == "timm":
        made = make_backbone("timm", architecture, arguments)
    else:
        made = make_backbone(
            "transformers", "timm_wrapper", {"architecture": architecture, "model_args": arguments}
        )
    assert sum(p.numel() for p in made.parameters()) < 50_000


@pytest.mark.parametrize("name", [k.name for k in KNOWN.values() if k.library == "timm"])
def test_known_encoders_of_timm_have_the_width_that_is_known(name: str) -> None:
    timm()
    known = KNOWN[name]
    with torch.device("meta"):
        encoder = make_backbone("timm", known.architecture, known.arguments).eval()
        special, grid = encoder(torch.empty(1, 3, known.input_size, known.input_size))
    assert grid.shape[1] * len(known.pooling.split("+")) == known.features
    assert special.shape[1] == encoder.prefix >= 1


@pytest.mark.parametrize("name", ["densenet121", "resnet18"])
def test_monai_learns_from_scratch_or_from_given_weights(tmp_path: Path, name: str) -> None:
    pytest.importorskip("monai")
    fresh = ModelConfig(name="encoder", encoder=f"monai:{name}", mode="finetune", input_size=64)
    first, same = (new_network(spec_for(fresh), seed=1).state_dict() for _ in range(2))
    assert all(torch.equal(first[key], same[key]) for key in first)
    other = new_network(spec_for(fresh), seed=2).state_dict()
    assert any(not torch.equal(first[key], other[key]) for key in first if "encoder" in key)

    weights = {k.removeprefix("encoder.model."): v for k, v in first.items() if "encoder" in k}
    save_file({k: v.contiguous() for k, v in weights.items()}, tmp_path / "model.safetensors")
    given = fresh.model_copy(update={"mode": "linear", "encoder_folder": tmp_path})
    spec = spec_for(given)
    network = new_network(spec, seed=0).eval()
    assert isinstance(network, EncoderNetwork)
    patches = torch.randn(1, 3, 96, 96)
    whole = new_network(spec_for(fresh), seed=1).eval()
    assert isinstance(whole, EncoderNetwork)
    with torch.no_grad():
        torch.testing.assert_close(network.embed(patches), whole.embed(patches))


def test_monai_names_that_are_none_are_said() -> None:
    with pytest.raises(InputError, match="densenet121"):
        make_backbone("monai", "densenet", {})


def test_an_absent_library_ends_in_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.setitem(sys.modules, "monai.networks.nets", None)
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(MissingExtraError, match=r"pip install 'sentinode\[encoders\]'"):
        spec_for(ModelConfig(name="encoder", encoder=str(tmp_path)))
    with pytest.raises(MissingExtraError, match="pip install"):
        make_backbone("monai", "densenet121", {})


def test_weights_of_another_encoder_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("monai")
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    given = ModelConfig(name="encoder", encoder="monai:resnet18", encoder_folder=tmp_path)
    with pytest.raises(CheckpointError, match="another encoder"):
        new_network(spec_for(given), seed=0)
