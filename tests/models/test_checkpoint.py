import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save, save_file

from builders.sets import tiny_spec
from sentinode.errors import CheckpointError, MissingInputError
from sentinode.models import (
    Run,
    block_network,
    load_checkpoint,
    new_network,
    resolve_run,
    save_checkpoint,
    state_of,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path, tiny_spec(), state_of(new_network(tiny_spec(), seed=3)))
    return tmp_path


def resaved(folder: Path, change: dict[str, torch.Tensor | None]) -> None:
    path = folder / "model.safetensors"
    metadata = json.loads(path.read_bytes()[8:].split(b"}", 1)[0].split(b":", 1)[1] + b"}")
    tensors = load_file(path) | {k: v for k, v in change.items() if v is not None}
    for name in [k for k, v in change.items() if v is None]:
        del tensors[name]
    save_file(tensors, path, metadata)


def test_what_was_saved_is_loaded(folder: Path) -> None:
    spec, network = load_checkpoint(folder)
    assert spec == tiny_spec()
    assert not network.training
    fresh = new_network(tiny_spec(), seed=3).eval()
    patches = torch.rand(4, 3, 16, 16)
    assert torch.equal(network(patches), fresh(patches))


def test_equal_weights_give_equal_bytes(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    network = new_network(tiny_spec(), seed=3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    save_checkpoint(other, tiny_spec(), state_of(network))
    for name in ("spec.json", "model.safetensors"):
        assert (folder / name).read_bytes() == (other / name).read_bytes()


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_truncated_weights_are_refused(folder: Path, keep: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="damaged: expected safetensors"):
        load_checkpoint(folder)


def test_a_pickle_is_never_loaded(folder: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (folder / "sprung",))

    torch.save({"layers.conv1.weight": Trap()}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(folder)
    assert not (folder / "sprung").exists()


@pytest.mark.parametrize("header", [b"\xff" * 8, b"\x08" + b"\0" * 7 + b"not json"])
def test_a_hostile_header_is_refused(folder: Path, header: bytes) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(header + path.read_bytes()[8:])
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"layers.conv1.weight": torch.zeros(4, 3, 5, 5)}, r"\(4, 3, 3, 3\), got .*\(4, 3, 5, 5\)"),
        ({"layers.conv1.bias": None}, "got none of that name"),
        ({"layers.conv9.bias": torch.zeros(1)}, "expected none of that name"),
        ({"layers.conv1.bias": torch.zeros(4).double()}, "expected float32 .* got float64"),
        ({"layers.logit.bias": torch.tensor([float("nan")])}, "no numbers"),
    ],
)
def test_tensors_of_another_model_are_named(
    folder: Path, change: dict[str, torch.Tensor | None], words: str
) -> None:
    resaved(folder, change)
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(folder)


def test_weights_of_another_spec_with_equal_shapes_are_refused(folder: Path) -> None:
    other = block_network("tiny", (4, 8), head=(8,), dropout=0.1)
    (folder / "spec.json").write_text(other.model_dump_json())
    with pytest.raises(CheckpointError, match=r"not written for the spec\.json beside it"):
        load_checkpoint(folder)
    (folder / "model.safetensors").write_bytes(save(state_of(new_network(other, seed=0))))
    with pytest.raises(CheckpointError, match="not written for"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 2}, "format 2, this version of sentinode reads 1"),
        ({"builder": "os:system"}, "refused"),
        ({"args": {"layers": [{"kind": "dense", "units": 10**12}]}}, "less than or equal to"),
        ({"preprocess": {"size": 10**9}}, "less than or equal to"),
        ({"extra": 1}, "extra"),
        ({"args": {"layers": [{"kind": "conv", "filters": 4}, 7]}}, "layers"),
        (
            {
                "builder": "sentinode.models.nodenet:build_nodenet",
                "args": {"widths": 7},
                "preprocess": {"size": 96},
            },
            "nodenet",
        ),
        (
            {"builder": "sentinode.models.encoders:build_encoder", "args": {"origin": {}}},
            "encoder",
        ),
    ],
)
def test_a_hostile_spec_is_refused(folder: Path, change: dict[str, object], words: str) -> None:
    values = json.loads((folder / "spec.json").read_text())
    (folder / "spec.json").write_text(json.dumps(values | change))
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(folder)


def test_what_is_missing_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="no run at"):
        resolve_run(str(tmp_path / "nowhere"))
    with pytest.raises(MissingInputError, match=r"no finished run: run\.json is missing"):
        Run.open(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="holds no weights"):
        load_checkpoint(folder)
    (folder / "spec.json").write_text("{")
    with pytest.raises(CheckpointError, match="holds no model"):
        load_checkpoint(folder)
