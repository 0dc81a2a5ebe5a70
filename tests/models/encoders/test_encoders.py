import copy
import json
from pathlib import Path

import pytest
import torch

pytest.importorskip("transformers")
import transformers

from builders.encoders import SIDE, tiny_encoder
from sentinode.config import ModelConfig
from sentinode.errors import CheckpointError, InputError, MissingInputError
from sentinode.export.graph import save_script
from sentinode.models import (
    build,
    has_unused_weights,
    load_checkpoint,
    new_network,
    save_checkpoint,
    spec_for,
    state_of,
    summarise,
)
from sentinode.models.encoders import KNOWN, EncoderNetwork, encoder_spec, find, known_of

KINDS = ("vit", "dinov2", "registers", "dinov3", "deit", "beit", "clip", "convnext")


def settings(folder: Path, **more: object) -> ModelConfig:
    values = {"name": "encoder", "encoder": str(folder), "input_size": SIDE} | more
    return ModelConfig.model_validate(values)


def network_of(folder: Path, **more: object) -> EncoderNetwork:
    network = new_network(spec_for(settings(folder, **more)), seed=3)
    assert isinstance(network, EncoderNetwork)
    return network.eval()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pooling", ["cls", "mean", "cls+mean"])
def test_features_are_those_of_transformers_itself(tmp_path: Path, kind: str, pooling: str) -> None:
    folder = tiny_encoder(tmp_path / kind, kind)
    if kind == "convnext" and pooling != "mean":
        with pytest.raises(InputError, match="no class token"):
            network_of(folder, pooling=pooling)
        return
    network = network_of(folder, pooling=pooling)
    reference = transformers.AutoModel.from_pretrained(folder).eval()
    reference = getattr(reference, "vision_model", reference)
    patches = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    images = torch.nn.functional.interpolate(patches, (SIDE, SIDE), mode="bilinear")
    with torch.no_grad():
        hidden = reference(pixel_values=images).last_hidden_state
        found = network.embed(patches)
    skipped = {"registers": 4, "dinov3": 3, "deit": 2}.get(kind, 1)
    mean = hidden.mean((2, 3)) if hidden.ndim == 4 else hidden[:, skipped:].mean(1)
    parts = [] if pooling == "mean" else [hidden[:, 0]]
    parts += [] if pooling == "cls" else [mean]
    torch.testing.assert_close(found, torch.cat(parts, 1))
    assert network(patches).shape == (2,)


@pytest.mark.filterwarnings("ignore:.torch.jit.load. is deprecated")
def test_a_masked_autoencoder_sees_the_whole_patch_in_order(tmp_path: Path) -> None:
    folder = tiny_encoder(tmp_path / "mae", "mae")
    network = network_of(folder, pooling="cls+mean")
    reference = transformers.ViTMAEModel.from_pretrained(folder, mask_ratio=0.0).eval()
    images = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    maps: list[torch.Tensor] = []
    network.encoder.maps.register_forward_hook(lambda module, args, out: maps.append(out))
    in_order = torch.arange(16.0).expand(2, -1)
    with torch.no_grad():
        hidden = reference(images, noise=in_order).last_hidden_state
        expected = torch.cat([hidden[:, 0], hidden[:, 1:].mean(1)], 1)
        torch.testing.assert_close(network.embed(images), expected)
        torch.testing.assert_close(network.embed(images), expected)
        parts = network.encoder.model.embeddings
        shown = parts(images, noise=in_order)[0][:, 1:]
        torch.testing.assert_close(
            shown, parts.patch_embeddings(images) + parts.position_embeddings[:, 1:]
        )
    assert maps[0].shape == (2, 16, 4, 4)
    save_script(network, images, tmp_path / "script.pt")
    traced = torch.jit.load(str(tmp_path / "script.pt"))
    three = torch.randn(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        torch.testing.assert_close(traced(three), network(three))


def test_hiera_takes_noise_and_hides_nothing(tmp_path: Path) -> None:
    network = network_of(tiny_encoder(tmp_path / "hiera", "hiera"))
    images = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(network.embed(images), network.embed(images), rtol=0, atol=0)


def test_another_side_of_the_input_interpolates_the_places(tmp_path: Path) -> None:
    folder = tiny_encoder(tmp_path / "vit", "vit")
    network = network_of(folder, input_size=48)
    reference = transformers.AutoModel.from_pretrained(folder).eval()
    images = torch.randn(1, 3, 48, 48, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        hidden = reference(pixel_values=images, interpolate_pos_encoding=True).last_hidden_state
        torch.testing.assert_close(network.embed(images), hidden[:, 0])


@pytest.mark.parametrize(
    ("mode", "keep", "stored"),
    [("linear", False, False), ("frozen", True, True), ("finetune", False, True)],
)
def test_a_checkpoint_gives_the_same_logits(
    tmp_path: Path, mode: str, keep: bool, stored: bool
) -> None:
    folder = tiny_encoder(tmp_path / "encoder")
    spec = spec_for(settings(folder, mode=mode, keep_encoder=keep))
    network = new_network(spec, seed=3).eval()
    patches = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    state = state_of(network)
    assert any(name.startswith("encoder.") for name in state) == stored
    save_checkpoint(tmp_path / "run", spec, state)
    again = load_checkpoint(tmp_path / "run")[1]
    with torch.no_grad():
        torch.testing.assert_close(again(patches), network(patches), rtol=0, atol=0)
        torch.testing.assert_close(copy.deepcopy(network)(patches), network(patches))
    if stored:  # it stands alone
        (folder / "model.safetensors").unlink()
        load_checkpoint(tmp_path / "run")


def test_a_head_is_never_put_upon_another_encoder(tmp_path: Path) -> None:
    folder = tiny_encoder(tmp_path / "encoder", seed=0)
    spec = spec_for(settings(folder))
    save_checkpoint(tmp_path / "run", spec, state_of(new_network(spec, seed=3)))
    tiny_encoder(folder, seed=1)
    with pytest.raises(CheckpointError, match="other weights"):
        load_checkpoint(tmp_path / "run")
    (folder / "model.safetensors").unlink()
    with pytest.raises(MissingInputError, match=r"model\.safetensors"):
        load_checkpoint(tmp_path / "run")


def test_a_frozen_encoder_does_not_learn_and_stays_as_it_is_used(tmp_path: Path) -> None:
    folder = tiny_encoder(tmp_path / "encoder")
    patches = torch.randn(4, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    for mode, learns in (("linear", False), ("finetune", True)):
        network = network_of(folder, mode=mode).train()
        assert network.encoder.training == learns
        network(patches).sum().backward()
        moved = [p for p in network.encoder.parameters() if p.grad is not None]
        assert bool(moved) == learns
        assert all(p.grad is not None for p in network.head.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_looked_at_can_be_drawn_from_its_layer(tmp_path: Path, kind: str) -> None:
    spec = spec_for(settings(tiny_encoder(tmp_path / kind, kind)))
    network = new_network(spec, seed=3).eval()
    seen: list[torch.Tensor] = []
    layer = network.get_submodule(spec.explain_layer)
    layer.register_forward_hook(lambda module, inputs, output: seen.append(output))
    logits = network(torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1)))
    (gradient,) = torch.autograd.grad(logits.sum(), seen[0])
    assert seen[0].shape == gradient.shape
    assert seen[0].shape[:2] == (2, 16)
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("kind", ["dinov2", "dinov3"])
def test_it_is_described_without_memory(tmp_path: Path, kind: str) -> None:
    spec = spec_for(settings(tiny_encoder(tmp_path / "encoder", kind)))
    summary = summarise(spec)
    head = 16 * 2 + 16 + 1
    assert summary.trainable == head
    assert summary.flop > 0
    assert json.loads(spec.model_dump_json())["args"]["features"] == 16
    assert build(spec, device="meta").head[-1].weight.is_meta


@pytest.mark.parametrize(
    ("kind", "mode", "unused"),
    [("dinov2", "finetune", True), ("dinov2", "linear", False), ("vit", "finetune", False)],
)
def test_weights_of_no_use_are_known(tmp_path: Path, kind: str, mode: str, unused: bool) -> None:
    folder = tiny_encoder(tmp_path / "encoder", kind)
    assert has_unused_weights(spec_for(settings(folder, mode=mode))) == unused


def test_normalisation_is_the_encoders_own(tmp_path: Path) -> None:
    folder = tiny_encoder(tmp_path / "encoder")
    assert encoder_spec(settings(folder)).preprocess.mean == (0.485, 0.456, 0.406)
    own = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.1, 0.2, 0.3]}
    (folder / "preprocessor_config.json").write_text(json.dumps(own))
    assert encoder_spec(settings(folder)).preprocess.mean == (0.5, 0.4, 0.3)
    assert encoder_spec(settings(folder)).preprocess.std == (0.1, 0.2, 0.3)
    (folder / "preprocessor_config.json").write_text(json.dumps({"size": 32}))
    assert encoder_spec(settings(folder)).preprocess.mean == (0.485, 0.456, 0.406)
    (folder / "preprocessor_config.json").unlink()
    later = {"processor_class": "CLIPProcessor", "image_processor": own}
    (folder / "processor_config.json").write_text(json.dumps(later))
    assert encoder_spec(settings(folder)).preprocess.mean == (0.5, 0.4, 0.3)


@pytest.mark.parametrize(
    ("own", "mean", "std"),
    [
        ({"do_normalize": False, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}, 0, 1),
        ({"image_mean": 0.5, "image_std": 0.25, "rescale_factor": 0.00392156862745098}, 0.5, 0.25),
    ],
)
def test_normalisation_may_be_none_or_one_for_all(
    tmp_path: Path, own: dict[str, object], mean: float, std: float
) -> None:
    folder = tiny_encoder(tmp_path / "encoder")
    (folder / "preprocessor_config.json").write_text(json.dumps(own))
    found = encoder_spec(settings(folder)).preprocess
    assert (found.mean, found.std) == ((mean,) * 3, (std,) * 3)


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"image_mean": None, "image_std": [1, 1, 1]}, "image_mean: expected three numbers, got N"),
        ({"image_mean": [0.5], "image_std": [1]}, r"three numbers, got \[0.5\]"),
        ({"image_mean": [0, 0, 0], "image_std": [0, 1, 1]}, "deviations above 0"),
        ({"do_normalize": True}, "image_mean: expected three numbers, got None"),
        ({"do_flip_channel_order": True}, "blue before red"),
        ({"image_mean": [0] * 3, "image_std": [1] * 3, "rescale_factor": 1 / 127.5}, "expected 1/"),
        ({"image_mean": [0] * 3, "image_std": [1] * 3, "do_rescale": False}, "pixels times 1.0"),
    ],
)
def test_pixels_that_are_no_colours_in_0_to_1_are_refused(
    tmp_path: Path, own: dict[str, object], said: str
) -> None:
    folder = tiny_encoder(tmp_path / "encoder")
    (folder / "preprocessor_config.json").write_text(json.dumps(own))
    with pytest.raises(InputError, match=said):
        encoder_spec(settings(folder))


@pytest.mark.parametrize(
    ("kind", "change", "pooling"),
    [
        ("vit", {}, "cls"),
        ("vit", {"global_pool": "avg"}, "mean"),
        ("beit", {"use_mean_pooling": True}, "mean"),
        ("beit", {"use_mean_pooling": False}, "cls"),
        ("convnext", {}, "mean"),
    ],
)
def test_pooling_is_what_its_configuration_says(
    tmp_path: Path, kind: str, change: dict[str, object], pooling: str
) -> None:
    folder = tiny_encoder(tmp_path / kind, kind)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    assert encoder_spec(settings(folder)).args["pooling"] == pooling


@pytest.mark.parametrize(
    "change",
    [
        {"num_attention_heads": 0},
        {"hidden_size": "16"},
        {"patch_size": 0},
        {"patch_size": "8"},
        {"image_size": None},
    ],
)
def test_a_damaged_configuration_is_said_in_one_line(
    tmp_path: Path, change: dict[str, object]
) -> None:
    folder = tiny_encoder(tmp_path / "vit", "vit")
    spec = spec_for(settings(folder))
    save_checkpoint(tmp_path / "run", spec, state_of(new_network(spec, seed=3)))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(InputError):
        encoder_spec(settings(folder))
    hostile = json.loads((tmp_path / "run" / "spec.json").read_text())
    hostile["args"]["origin"]["arguments"] |= change
    (tmp_path / "run" / "spec.json").write_text(json.dumps(hostile))
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / "run")


def test_a_known_encoder_in_a_folder_takes_what_is_known(tmp_path: Path) -> None:
    folder = tiny_encoder(tmp_path / "encoder")
    spec = encoder_spec(
        settings(folder, encoder="hf:kaiko-ai/midnight", encoder_folder=str(folder))
    )
    assert spec.args["pooling"] == "cls+mean"
    assert spec.args["features"] == 32
    assert spec.preprocess.mean == (0.5, 0.5, 0.5)
    assert spec.licence == "MIT"
    assert spec.name == "midnight-linear"
    assert isinstance(new_network(spec, seed=0), EncoderNetwork)


IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
BIOPTIMUS = ((0.707223, 0.578729, 0.703617), (0.211883, 0.230117, 0.177517))
CARDS = {  # mean and deviation, pooling, features, as the models' own cards give them
    "uni": (IMAGENET, "cls", 1024),
    "uni2-h": (IMAGENET, "cls", 1536),
    "virchow2": (IMAGENET, "cls+mean", 2560),
    "phikon": (IMAGENET, "cls", 768),
    "phikon-v2": (IMAGENET, "cls", 1024),
    "midnight-12k": (((0.5,) * 3, (0.5,) * 3), "cls+mean", 3072),
    "h-optimus-0": (BIOPTIMUS, "cls", 1536),
    "h-optimus-1": (BIOPTIMUS, "cls", 1536),
    "gigapath": (IMAGENET, "cls", 1536),
}


@pytest.mark.parametrize("name", KNOWN)
def test_those_known_are_used_as_their_cards_say(name: str) -> None:
    known = KNOWN[name]
    assert ((known.mean, known.std), known.pooling, known.features) == CARDS[name]
    assert known.input_size == 224


def test_those_known_are_known_by_either_name() -> None:
    assert set(KNOWN) >= {"uni", "uni2-h", "virchow2", "phikon", "phikon-v2", "h-optimus-0"}
    for encoder in KNOWN.values():
        assert known_of(encoder.name) == known_of(f"hf:{encoder.repository}") == encoder
    assert known_of("phikon-v3") is None


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("phikom", InputError, "phikon"),
        ("hf:no/such", MissingInputError, "sentinode encoders hf:no/such --download"),
        ("monai:densenet121", MissingInputError, "encoder_folder"),
        ("hf:a/b/c", InputError, "OWNER/NAME"),
    ],
)
def test_what_is_not_here_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: type[Exception], said: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(kind, match=said):
        find(name)


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    folder = tiny_encoder(tmp_path / "encoder")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(MissingInputError, match="a pickle, which is never loaded"):
        encoder_spec(settings(folder))


def test_damaged_weights_and_other_architectures_are_said(tmp_path: Path) -> None:
    folder = tiny_encoder(tmp_path / "encoder")
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-100])
    with pytest.raises(CheckpointError, match="damaged"):
        network_of(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "no-such"}))
    with pytest.raises(InputError, match="no model type 'no-such'"):
        encoder_spec(settings(folder))
    (folder / "config.json").write_text("{}")
    with pytest.raises(InputError, match="neither a model type nor an architecture"):
        encoder_spec(settings(folder))
    (folder / "config.json").write_text("[")
    with pytest.raises(InputError, match="damaged"):
        encoder_spec(settings(folder))
    with pytest.raises(InputError, match=r"needs model\.encoder"):
        spec_for(ModelConfig(name="encoder"))


def test_code_beside_an_encoder_is_never_run(tmp_path: Path) -> None:
    folder = tiny_encoder(tmp_path / "encoder")
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "auto_map": {"AutoModel": "evil.Model", "AutoConfig": "evil.Config"},
        "attn_implementation": "owner/kernel",
        "_attn_implementation": "owner/kernel",
    }
    (folder / "config.json").write_text(json.dumps(config))
    patches = torch.zeros(1, 3, 96, 96)
    assert torch.isfinite(network_of(folder)(patches)).all()
    assert not (tmp_path / "ran").exists()
