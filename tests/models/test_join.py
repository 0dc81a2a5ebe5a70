"""Several networks in one."""

import shutil
from pathlib import Path

import pytest
import torch

from builders.runs import untrained_run
from sentinode.cli.join import join_command
from sentinode.errors import CheckpointError, InputError, MissingInputError
from sentinode.models import DenseNetwork, Run, folded, join_runs, spec, summarise
from sentinode.models.nodenet import nodenet
from sentinode.models.orbit import turned
from sentinode.types import Preprocess

TINY = nodenet("tiny", (2, 3, 4))
SIZES = [TINY, nodenet("other", (1, 4, 5)), TINY, TINY]


def members(folder: Path, n: int = 2) -> list[Run]:
    runs = [untrained_run(folder / f"{seed}", spec, seed) for seed, spec in enumerate(SIZES[:n])]
    for run in runs:  # as trained: statistics that are not all alike
        _move_statistics(run)
    return [Run.open(run.folder) for run in runs]


def _move_statistics(run: Run) -> None:
    from sentinode.core import hash_file
    from sentinode.models import WEIGHTS_FILE, save_checkpoint, state_of

    network = run.load().train()
    with torch.no_grad():
        for seed in range(20):
            network(drawn(8, 96, seed) * 2 + 0.3)
    save_checkpoint(run.folder, run.spec, state_of(network))
    files = run.record.files | {WEIGHTS_FILE: hash_file(run.folder / WEIGHTS_FILE)}
    run.record.model_copy(update={"files": files}).write(run.folder)


def drawn(n: int, side: int = 96, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(seed))


def dense(network: torch.nn.Module, region: torch.Tensor, stride: int) -> torch.Tensor:
    assert isinstance(network, DenseNetwork)
    return network.dense(region, stride)


@torch.no_grad()
@pytest.mark.parametrize("n", [2, 3])
def test_its_logit_is_the_mean_of_theirs_on_patches_and_regions(tmp_path: Path, n: int) -> None:
    runs = members(tmp_path, n)
    network = join_runs(runs, tmp_path / "out", name="both").load()
    patches, region = drawn(5), drawn(1, 96 + 24, 7)
    each = torch.stack([run.load()(patches) for run in runs])
    assert (each[0] - each[1]).abs().max() > 0.05  # they say different things
    for made in (network, folded(network)):
        assert torch.allclose(made(patches), each.mean(0), atol=1e-4)
        for stride in (8, 16):
            expected = torch.stack([dense(run.load(), region, stride) for run in runs]).mean(0)
            assert torch.allclose(dense(made, region, stride), expected, atol=1e-4)
        assert torch.allclose(made(turned(patches, 5)), made(patches), atol=1e-4)


@torch.no_grad()
def test_what_is_joined_can_be_joined_again(tmp_path: Path) -> None:
    runs = members(tmp_path, 4)
    pairs = [join_runs(runs[k : k + 2], tmp_path / f"pair{k}", name="pair") for k in (0, 2)]
    network = join_runs(pairs, tmp_path / "all", name="all").load()
    each = torch.stack([run.load()(drawn(3)) for run in runs])
    assert torch.allclose(network(drawn(3)), each.mean(0), atol=1e-4)


def test_its_groups_learn_apart(tmp_path: Path) -> None:
    network = join_runs(members(tmp_path), tmp_path / "out", name="both").load().train()
    network(drawn(4)).square().sum().backward()
    for n, features in enumerate((3, 4)):
        weight = network.get_parameter(f"features.residual_b1.conv.{n}.weight")
        assert weight.shape == (features, 8 * features, 3, 3)
        assert weight.grad is not None
        assert weight.grad.abs().sum((1, 2, 3)).min() > 0


def test_it_costs_what_they_cost_together(tmp_path: Path) -> None:
    run = join_runs(members(tmp_path), tmp_path / "out", name="both")
    assert summarise(run.spec).flop == sum(summarise(each).flop for each in SIZES[:2])


def test_the_record_tells_of_its_members_and_of_what_they_share(tmp_path: Path) -> None:
    runs = members(tmp_path)
    told = []
    for run, split in zip(runs, ("one", "other"), strict=True):
        inputs = {"set": "same", "split": split}
        origin = run.record.provenance.model_copy(update={"inputs": inputs})
        record = run.record.model_copy(
            update={"provenance": origin, "patches": {"train": 7}, "behind": None}
        )
        record.write(run.folder)
        told.append(Run.open(run.folder))
    record = join_runs(told, tmp_path / "out", name="both").record
    inputs = record.provenance.inputs
    assert inputs["set"] == "same"
    assert "split" not in inputs  # so that no report calls it independent of either's test fold
    assert [inputs[f"member_{n}"] for n in (1, 2)] == [run.weights_hash for run in runs]
    assert record.patches == {"train": 7}
    told[1].record.model_copy(update={"behind": "on another set"}).write(told[1].folder)
    again = join_runs([told[0], Run.open(told[1].folder)], tmp_path / "2", name="both")
    assert again.record.behind == "on another set"


def test_equal_members_give_equal_bytes(tmp_path: Path) -> None:
    runs = members(tmp_path)
    one, other = (join_runs(runs, tmp_path / name, name="both") for name in "ab")
    assert one.weights_hash == other.weights_hash
    assert one.record.fingerprint == other.record.fingerprint


def test_what_does_not_fit_together_is_refused(tmp_path: Path) -> None:
    first, second = members(tmp_path)
    bright = TINY.model_copy(update={"preprocess": Preprocess(mean=(0.5,) * 3, std=(0.2,) * 3)})
    other = untrained_run(tmp_path / "bright", bright)
    colour = untrained_run(tmp_path / "colour", spec("gray-no-128"))
    shutil.copytree(first.folder, tmp_path / "twin")
    for runs, said in (
        ([first], "two runs at least"),
        ([first, other], "see patches in different ways"),
        ([first, colour], "only nodenets"),
        ([first, Run.open(tmp_path / "twin")], "same weights"),
    ):
        with pytest.raises(InputError, match=said):
            join_runs(runs, tmp_path / "out", name="both")
    assert not (tmp_path / "out").exists()
    made = join_runs([first, second], tmp_path / "out", name="both")
    with pytest.raises(InputError, match="holds a run"):
        join_runs([second, first], tmp_path / "out", name="both")
    assert Run.open(tmp_path / "out").weights_hash == made.weights_hash
    assert join_runs([second, first], tmp_path / "out", name="both", force=True).load()


def test_a_damaged_member_is_told_of(tmp_path: Path) -> None:
    first, second = members(tmp_path)
    weights = second.folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    with pytest.raises(CheckpointError):
        join_runs([first, second], tmp_path / "out", name="both")
    assert not (tmp_path / "out").exists()


def test_the_command_says_what_it_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [str(run.folder) for run in members(tmp_path)]
    join_command(folders, tmp_path / "out", name="both")
    gflop = sum(summarise(each).flop for each in SIZES[:2]) / 1e9
    assert f"2 networks in one, {gflop:.2f} GFLOP a patch" in capsys.readouterr().out
    assert Run.open(tmp_path / "out").spec.name == "both"
    with pytest.raises(MissingInputError, match="no run at"):
        join_command([folders[0], "nowhere"], tmp_path / "2")
