"""Several networks in one."""

from pathlib import Path

import pytest
import torch

from builders.runs import untrained_run
from sentinode.cli.join import join_command
from sentinode.core import hash_file
from sentinode.errors import CheckpointError, InputError, MissingInputError
from sentinode.models import (
    WEIGHTS_FILE,
    DenseNetwork,
    Run,
    folded,
    join_runs,
    save_checkpoint,
    spec,
    state_of,
    summarise,
)
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
    network = run.load().train()
    generator = torch.Generator().manual_seed(len(run.folder.name) + int(run.folder.name))
    with torch.no_grad():
        for values in network.parameters():
            if values.ndim == 1:  # gains and shifts of the norms, the bias of the logit
                values.add_(torch.randn(values.shape, generator=generator) * 0.3)
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
    pair = join_runs(runs[:2], tmp_path / "pair", name="pair")
    joined = join_runs([runs[3], pair, runs[2]], tmp_path / "all", name="all")
    each = torch.stack([run.load()(drawn(3)) for run in runs])
    assert torch.allclose(joined.load()(drawn(3)), each.mean(0), atol=1e-4)  # all count the same
    assert joined.members == [runs[k].weights_hash for k in (3, 0, 1, 2)]
    with pytest.raises(InputError, match="same weights, or one that the other holds"):
        join_runs([pair, runs[1]], tmp_path / "twice", name="twice")


def test_its_members_learn_apart(tmp_path: Path) -> None:
    """What one has learnt changes nothing in the other's features, nor in how these learn."""
    run = join_runs(members(tmp_path), tmp_path / "out", name="both")
    gradients = []
    for change in (0.0, 0.5):
        network = run.load()
        own, others = (network.get_parameter(f"features.residual_b1.conv.{n}.weight") for n in "01")
        assert own.shape == (3, 24, 3, 3)
        assert others.shape == (4, 32, 3, 3)
        with torch.no_grad():
            others.add_(change)
        network(drawn(4)).sum().backward()
        assert own.grad is not None
        assert own.grad.abs().max() > 0
        gradients.append(own.grad)
    assert torch.allclose(*gradients, atol=1e-5)


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
    assert record.patches == {}  # seven of one split, and seven of another
    alike = [
        Run(
            run.folder,
            run.spec,
            run.record.model_copy(update={"provenance": told[0].record.provenance}),
        )
        for run in told
    ]
    record = join_runs(alike, tmp_path / "alike", name="both").record
    assert record.provenance.inputs["split"] == "one"
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
    twin = untrained_run(tmp_path / "twin", TINY.model_copy(update={"name": "renamed"}))
    save_checkpoint(twin.folder, twin.spec, state_of(first.load()))
    files = {WEIGHTS_FILE: hash_file(twin.folder / WEIGHTS_FILE)}
    twin.record.model_copy(update={"files": files}).write(twin.folder)
    free = untrained_run(tmp_path / "free", TINY.model_copy(update={"licence": "MIT"}), 5)
    wide = [untrained_run(tmp_path / f"w{n}", nodenet("w", (1, 1, 600)), n) for n in (0, 1)]
    for runs, said in (
        ([first], "two runs at least"),
        ([first, other], "see patches in different ways"),
        ([first, colour], "only nodenets"),
        ([first, Run.open(twin.folder)], "same weights"),
        ([first, first], "same weights"),
        ([first, free], "Apache-2.0"),
        (wide, "1024 features a stage"),
    ):
        with pytest.raises(InputError, match=said):
            join_runs(runs, tmp_path / "out", name="both")
    for name in ("", "bad name", "../up"):
        with pytest.raises(InputError, match="cannot be a network's name"):
            join_runs([first, second], tmp_path / "out", name=name)
    assert not (tmp_path / "out").exists()
    made = join_runs([first, second], tmp_path / "out", name="both")
    with pytest.raises(InputError, match="holds a run"):
        join_runs([second, first], tmp_path / "out", name="both")
    assert Run.open(tmp_path / "out").weights_hash == made.weights_hash
    assert join_runs([second, first], tmp_path / "out", name="both", force=True).load()


def test_a_member_is_not_replaced_by_what_is_joined(tmp_path: Path) -> None:
    first, second = members(tmp_path)
    same = tmp_path / "x" / ".." / second.folder.name
    (tmp_path / "x").mkdir()
    with pytest.raises(InputError, match="one of the runs to join"):
        join_runs([first, second], same, name="both", force=True)
    assert Run.open(second.folder).load()


@pytest.mark.parametrize("left", ["history.csv", "config.toml", "state/epoch-0001.safetensors"])
def test_nothing_of_another_training_stays_in_the_folder(tmp_path: Path, left: str) -> None:
    runs, out = members(tmp_path), tmp_path / "out"
    (out / left).parent.mkdir(parents=True)
    (out / left).write_text("of another")
    with pytest.raises(InputError, match="what is left of one"):
        join_runs(runs, out, name="both")
    assert (out / left).read_text() == "of another"
    join_runs(runs, out, name="both", force=True)
    assert not (out / left).exists()


def test_what_was_only_pretrained_is_refused(tmp_path: Path) -> None:
    first, second = members(tmp_path)
    origin = second.record.provenance.model_copy(update={"stage": "pretrain"})
    second.record.model_copy(update={"provenance": origin}).write(second.folder)
    with pytest.raises(InputError, match="has learnt no label yet"):
        join_runs([first, Run.open(second.folder)], tmp_path / "out", name="both")


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
