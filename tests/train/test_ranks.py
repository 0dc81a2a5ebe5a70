"""Several processes give what one alone gives, to rounding."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

import sentinode.train.loop
import sentinode.train.stored
from builders.encoders import SIDE, tiny_encoder
from builders.sets import QUICK, small_set, small_split, tiny_spec
from sentinode.config import load_config
from sentinode.errors import TrainingError
from sentinode.models import Run, choose_compute
from sentinode.models.nodenet import nodenet
from sentinode.tables import PackedSet, Split
from sentinode.train import train
from sentinode.train.loop import step_seed
from sentinode.train.ranks import Ranks
from sentinode.train.whole_batch import WholeBatch

SCRIPT = """
import sys
from pathlib import Path
from builders.sets import QUICK, tiny_spec
from sentinode.config import load_config
from sentinode.tables import PackedSet, Split
from sentinode.train import train
packed, out = PackedSet.open(Path(sys.argv[1])), Path(sys.argv[2])
split = Split.read(packed.folder / "split.json")
run = train(packed, split, load_config(None, [*QUICK, *sys.argv[3:]]), out, spec=tiny_spec())
print(run.record.compute)
"""

# Where rounding puts one value on the other side of a rectifier's kink, the gradient jumps and two
# trainings part for good, as those of two machines do. So the steps compared are few.
RECIPES = {
    "plain": ("train.optimizer=sgd", "train.batch_size=9", "train.epochs=1"),
    "an empty share": ("train.optimizer=sgd", "train.batch_size=41"),
    "everything": (
        "train.optimizer=sgd",
        "train.learning_rate=0.1",
        "train.schedule=cosine",
        "train.accumulate=2",
        "train.label_smoothing=0.1",
        "train.class_weights=balanced",
        "train.clip=1.0",
        "train.average=0.9",
        "augment.orientations=all",
        "augment.shift=2",
        "augment.turn=45",
        "augment.stain=0.2",
        "augment.blur=1",
        "augment.light=0.05",
        "augment.mixup=0.4",
    ),
}


def environment(**more: str) -> dict[str, str]:
    tests = str(Path(__file__).parents[1])
    path = os.pathsep.join(filter(None, [tests, os.environ.get("PYTHONPATH")]))
    return os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"} | more


def launched(
    packed: PackedSet, out: Path, *settings: str, processes: int = 2, text: str = SCRIPT
) -> subprocess.CompletedProcess[str]:
    script = out.with_suffix(".py")
    script.write_text(text)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = [*torchrun, f"--nproc-per-node={processes}", script, packed.folder, out, *settings]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)


def together(
    packed: PackedSet, out: Path, *settings: str, processes: int = 2, text: str = SCRIPT
) -> Run:
    done = launched(packed, out, *settings, processes=processes, text=text)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"'processes': {processes}") == processes
    assert done.stderr.count("epoch 1 of ") == 1
    return Run.open(out)


def assert_agree(one: Run, several: Run) -> None:
    ours, theirs = one.history(), several.history()
    for name in ours.columns:  # a pair in a near tie may change places
        tolerance = {"atol": 0.01} if name.endswith(("auc", "accuracy")) else {"rtol": 2e-5}
        np.testing.assert_allclose(ours[name], theirs[name], **tolerance, err_msg=name)
    network, other = one.load().state_dict(), several.load().state_dict()
    for name, tensor in network.items():
        torch.testing.assert_close(other[name], tensor, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_two_processes_give_what_one_gives(
    packed: PackedSet, split: Split, tmp_path: Path, recipe: str
) -> None:
    settings = load_config(None, [*QUICK, *RECIPES[recipe]])
    one = train(packed, split, settings, tmp_path / "one", spec=tiny_spec())
    two = together(packed, tmp_path / "two", *RECIPES[recipe])
    assert_agree(one, two)
    assert one.record.fingerprint == two.record.fingerprint


@pytest.mark.slow
@pytest.mark.usefixtures("split")
@pytest.mark.parametrize("killed", ["0", "1"])
def test_one_of_two_processes_is_killed_and_the_command_goes_on(
    packed: PackedSet, tmp_path: Path, killed: str
) -> None:
    """With kill -9, after the second epoch; the end is that of two left in peace."""
    whole = together(packed, tmp_path / "whole", *RECIPES["everything"])
    dying = SCRIPT.replace(
        "spec=tiny_spec())", "spec=tiny_spec(), after_epoch=lambda row: die(row['epoch']))"
    ).replace(
        "packed, out =",
        "def die(epoch):\n"
        f"    if epoch == 2 and os.environ['RANK'] == '{killed}':\n"
        "        state = out / 'state' / 'state.json'\n"
        "        while len(json.loads(state.read_text())['history']) < 2:\n"  # rank 0 writes it
        "            time.sleep(0.01)\n"
        "        os.kill(os.getpid(), 9)\n"
        "packed, out =",
    )
    out = tmp_path / "killed"
    cut = launched(packed, out, *RECIPES["everything"], text="import json, os, time\n" + dying)
    assert cut.returncode != 0
    assert not (out / "run.json").exists()
    again = launched(packed, out, *RECIPES["everything"])
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("going on after epoch 2") == 1
    for name in ("model.safetensors", "history.csv"):
        assert (out / name).read_bytes() == (whole.folder / name).read_bytes()


@pytest.mark.slow
def test_two_processes_go_on_within_an_epoch_that_one_began(
    packed: PackedSet, split: Split, tmp_path: Path
) -> None:
    settings = load_config(None, [*QUICK, *RECIPES["plain"]])
    one = train(packed, split, settings, tmp_path / "one", spec=tiny_spec())
    out, calls = tmp_path / "two", []

    def stop(*given: int) -> int:
        calls.append(given)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return step_seed(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sentinode.train.stored, "SECONDS_BETWEEN_WRITTEN", 0.0)
        patch.setattr(sentinode.train.stored, "TIMES_AS_LONG", 0.0)
        patch.setattr(sentinode.train.loop, "step_seed", stop)
        with pytest.raises(KeyboardInterrupt):
            train(packed, split, settings, out, spec=tiny_spec())
    done = launched(packed, out, *RECIPES["plain"])
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("going on in epoch 1, after 27 of ") == 1
    assert_agree(one, Run.open(out))


@pytest.mark.slow
@pytest.mark.parametrize(
    "see",
    [("train.teachers_see=plain",), ("train.teachers_see=shown", "train.batch_size=41")],
    ids=["plain", "an empty share"],
)
def test_two_processes_are_taught_as_one(
    packed: PackedSet, split: Split, tmp_path: Path, see: tuple[str, ...]
) -> None:
    teacher = train(packed, split, load_config(None, QUICK), tmp_path / "t", spec=tiny_spec())
    settings = (
        f'train.teachers=["{teacher.folder}"]',
        *see,
        "train.teacher_turns=2",
        "train.optimizer=sgd",
        "train.epochs=1",
    )
    config = load_config(None, [*QUICK, *settings])
    one = train(packed, split, config, tmp_path / "one", spec=tiny_spec())
    assert_agree(one, together(packed, tmp_path / "two", *settings))


@pytest.mark.slow
def test_two_processes_train_nodenet_as_one(tmp_path: Path) -> None:
    packed = small_set(tmp_path / "set", 40, size=96)
    split = small_split(packed)
    n = sum(map(len, split.units["train"].values()))
    settings = ("train.optimizer=sgd", "train.epochs=1", f"train.batch_size={n - 1}")
    network = nodenet("tiny-nodenet", (1, 2, 2), dropout=0.5)
    config = load_config(None, [*QUICK, *settings])
    one = train(packed, split, config, tmp_path / "one", spec=network)
    text = SCRIPT.replace("tiny_spec()", "nodenet('tiny-nodenet', (1, 2, 2), dropout=0.5)").replace(
        "import sys\n", "import sys\nfrom sentinode.models.nodenet import nodenet\n"
    )
    assert_agree(one, together(packed, tmp_path / "two", *settings, text=text))


@pytest.mark.slow
def test_three_processes_give_what_one_gives(
    packed: PackedSet, split: Split, tmp_path: Path
) -> None:
    settings = load_config(None, [*QUICK, *RECIPES["everything"]])
    one = train(packed, split, settings, tmp_path / "one", spec=tiny_spec())
    assert_agree(one, together(packed, tmp_path / "three", *RECIPES["everything"], processes=3))


@pytest.mark.slow
def test_an_encoder_with_weights_of_no_use_is_finetuned_together(tmp_path: Path) -> None:
    """DINOv2's token of masked patches never has a gradient."""
    pytest.importorskip("transformers")
    packed = small_set(tmp_path / "set", size=96)
    split = small_split(packed)
    encoder = tiny_encoder(tmp_path / "encoder", "dinov2")
    settings = [
        f"model.encoder={encoder}",
        f"model.input_size={SIDE}",
        *("model.name=encoder", "model.mode=finetune", "train.optimizer=sgd", "train.epochs=2"),
    ]
    one = train(packed, split, load_config(None, [*QUICK, *settings]), tmp_path / "one")
    text = SCRIPT.replace(", spec=tiny_spec()", "")
    assert_agree(one, together(packed, tmp_path / "two", *settings, text=text))


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    """A process group of one: what is shared is then the whole."""
    store = f"file://{tmp_path / 'store'}"
    torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("shape", [(6, 5, 7, 7), (6, 5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.usefixtures("alone")
def test_shared_batch_normalisation_is_pytorchs(shape: tuple[int, ...], dtype: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    first = (torch.randn(shape, generator=generator) * 3 + 5).to(dtype).requires_grad_()
    second = first.detach().clone().requires_grad_()
    upstream = torch.randn(shape, generator=generator).to(dtype)
    results = []
    for values, mode in ((first, None), (second, WholeBatch(6, slice(0, 6)))):
        moving = [torch.zeros(5), torch.ones(5)]
        weight = torch.linspace(0.5, 2, 5).requires_grad_()
        bias = torch.linspace(-1, 1, 5).requires_grad_()
        arguments = (values, *moving, weight, bias, True, 0.3, 1e-3)
        if mode is None:
            out = functional.batch_norm(*arguments)
        else:
            with mode:
                out = functional.batch_norm(*arguments)
        out.backward(upstream)  # type: ignore[no-untyped-call]
        results.append([out, *moving, values.grad, weight.grad, bias.grad])
    tolerance = 2e-2 if dtype is torch.bfloat16 else 2e-5
    for theirs, ours in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("last", [True, False])
def test_a_share_drops_what_the_whole_would(last: bool) -> None:
    values = torch.randn(8, 4, 6, 6)
    if last:
        values = values.contiguous(memory_format=torch.channels_last)
    torch.manual_seed(3)
    whole = functional.dropout(values, 0.4)
    shares = []
    for share in (slice(0, 3), slice(3, 3), slice(3, 8)):
        torch.manual_seed(3)
        with WholeBatch(8, share):
            shares.append(torch.nn.Dropout(0.4)(values[share]))
    torch.testing.assert_close(torch.cat(shares), whole)


def fake(count: int, rank: int) -> Ranks:
    return Ranks(SimpleNamespace(world_size=count, global_rank=rank))  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_places_are_those_of_the_shares(count: int) -> None:
    sizes = [4, 4, 1]
    places = [fake(count, rank).places(sizes).tolist() for rank in range(count)]
    assert sorted(i for own in places for i in own) == list(range(9))
    for rank, own in enumerate(places):
        shares = [fake(count, rank).share(n) for n in sizes]
        assert own == [i for s, p in zip((0, 4, 8), shares, strict=True) for i in range(9)[s:][p]]


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_shares_are_all_of_a_batch_and_nearly_equal(count: int) -> None:
    for n in range(12):
        shares = [fake(count, rank).share(n) for rank in range(count)]
        assert [i for share in shares for i in range(n)[share]] == list(range(n))
        sizes = [share.stop - share.start for share in shares]
        assert max(sizes) - min(sizes) <= 1


def test_a_batch_too_small_for_the_processes_is_refused(
    packed: PackedSet, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ranks, "launch", classmethod(lambda *_, **__: fake(9, 0)))
    with pytest.raises(TrainingError, match="a batch of 8 cannot be dealt to 9 processes"):
        train(packed, split, load_config(None, QUICK), tmp_path / "run", spec=tiny_spec())


def test_slurm_tasks_are_taken_as_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    compute = choose_compute("cpu", "float32", threads=1)
    monkeypatch.setenv("SLURM_NTASKS", "4")
    assert Ranks.launch(compute, tiny_spec()).count == 1  # a batch script is no task
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    monkeypatch.setenv("SLURM_NNODES", "2")
    with pytest.raises(TrainingError, match=r"4 tasks on 2 machines; .* --ntasks-per-node"):
        Ranks.launch(compute, tiny_spec())


@pytest.mark.slow
def test_slurm_trains_together(packed: PackedSet, split: Split, tmp_path: Path) -> None:
    """What srun sets is set by hand: two tasks on each of one machine."""
    one = train(packed, split, load_config(None, QUICK), tmp_path / "one", spec=tiny_spec())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    tasks = []
    for rank in ("0", "1"):
        of_srun = environment(
            SLURM_NTASKS="2",
            SLURM_NTASKS_PER_NODE="2",
            SLURM_NNODES="1",
            SLURM_STEP_ID="0",
            SLURM_JOB_ID="77",
            SLURM_PROCID=rank,
            SLURM_LOCALID=rank,
            SLURM_NODEID="0",
            SLURM_NODELIST="127.0.0.1",
            MASTER_PORT=port,
        )
        command = [sys.executable, "-c", SCRIPT, packed.folder, tmp_path / "two"]
        tasks.append(subprocess.Popen(command, env=of_srun, stderr=subprocess.DEVNULL))
    assert [task.wait() for task in tasks] == [0, 0]
    two = Run.open(tmp_path / "two")
    assert two.record.compute["processes"] == 2
    assert two.history()["loss"][0] == pytest.approx(one.history()["loss"][0], rel=1e-5)
