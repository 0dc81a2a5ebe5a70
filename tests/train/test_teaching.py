import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import rotate

import sentinode.train.loop
from builders.sets import QUICK, small_set, small_split, tiny_spec
from sentinode.config import Config, TrainConfig, load_config
from sentinode.data.loader import to_input
from sentinode.errors import ConfigError, InputError, MissingInputError, TrainingError
from sentinode.models import Run, choose_compute, spec
from sentinode.predict import predict_set
from sentinode.tables import PackedSet, Split
from sentinode.train import train
from sentinode.train.ranks import Ranks
from sentinode.train.teaching import Teachers, start_of, teachers_of, weights_behind

COMPUTE = choose_compute("cpu", "float32")
LONGER = (*QUICK, "train.keep=last", "train.epochs=12")


@pytest.fixture
def teacher(packed: PackedSet, split: Split, tmp_path: Path) -> Run:
    return train(packed, split, load_config(None, LONGER), tmp_path / "teacher", spec=tiny_spec())


def test_aims_lie_between_label_and_the_teachers_mean(teacher: Run, packed: PackedSet) -> None:
    images = torch.from_numpy(packed.images[:6].copy())
    inputs = to_input(images, teacher.spec.preprocess)
    labels = torch.tensor([0.0, 1, 0, 1, 0.3, 1])
    other = Run.open(teacher.folder)
    found = Teachers((teacher, other), TrainConfig(teacher_share=0.25), COMPUTE).aims(
        inputs, labels
    )
    with torch.no_grad():
        said = torch.sigmoid(teacher.load()(inputs))
    assert found.numpy() == pytest.approx((0.75 * labels + 0.25 * said).numpy(), abs=1e-5)


def test_what_teachers_say_is_learnt_whatever_the_labels(
    teacher: Run, packed: PackedSet, split: Split, tmp_path: Path
) -> None:
    """A network taught by another alone follows it where all its labels are wrong."""
    frame = packed.manifest.frame
    wrong = frame.assign(label=np.where(frame["label"].isna(), None, 1 - frame["label"]))
    packed.manifest.make(wrong.astype(frame.dtypes), {}).write(packed.folder / "manifest.parquet")
    turned = PackedSet.open(packed.folder)
    moved = split.model_copy(update={"manifest_hash": turned.manifest.hash})
    keys = [*LONGER, f'train.teachers=["{teacher.folder}"]']
    for share, follows in ((1, True), (0, False)):
        config = load_config(None, [*keys, f"train.teacher_share={share}"])
        run = train(turned, moved, config, tmp_path / f"{share}", spec=tiny_spec())
        inputs = to_input(torch.from_numpy(packed.images[:80].copy()), run.spec.preprocess)
        with torch.no_grad():
            said, taught = teacher.load()(inputs), run.load()(inputs)
        assert bool(np.corrcoef(said, taught)[0, 1] > 0.5) == follows


def test_teachers_are_asked_once_about_patches_as_they_lie(
    teacher: Run, packed: PackedSet, split: Split, tmp_path: Path
) -> None:
    """Where nothing is changed that is what they would have said of what is shown."""
    keys = [*QUICK, f'train.teachers=["{teacher.folder}"]', "train.teacher_share=0.5"]
    plain = [*keys, "train.teachers_see=plain"]
    once = train(packed, split, load_config(None, plain), tmp_path / "once", spec=tiny_spec())
    shown = train(packed, split, load_config(None, keys), tmp_path / "shown", spec=tiny_spec())
    asked = once.record.timing["teachers_s"]
    assert 0 < asked < once.record.timing["seconds"]
    assert "teachers_s" not in shown.record.timing
    for name, value in once.load().named_parameters():
        assert torch.allclose(value, dict(shown.load().named_parameters())[name], atol=1e-5)
    settings = TrainConfig(teachers=("nodenet-base",), teacher_share=0.5)
    rows = np.arange(70)
    labels = np.zeros(70, np.float32)
    aims = Teachers((teacher,), settings, COMPUTE).plain_aims(
        packed.images, rows, labels, teacher.spec.preprocess, Ranks.launch(COMPUTE, tiny_spec())
    )
    inputs = to_input(torch.from_numpy(packed.images[:70].copy()), teacher.spec.preprocess)
    with torch.no_grad():
        said = torch.sigmoid(teacher.load()(inputs))
    assert aims == pytest.approx(0.5 * said.numpy(), abs=1e-6)


def test_what_teachers_said_before_is_learnt_and_goes_on_in_the_same_bytes(
    teacher: Run,
    packed: PackedSet,
    split: Split,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def asked(*_: object) -> torch.Tensor:
        raise AssertionError("asked about what is shown")

    monkeypatch.setattr(Teachers, "aims", asked)
    changes = ("augment.stain=0.6", "augment.mixup=0.4", "train.teachers_see=plain")
    keys = [*QUICK, f'train.teachers=["{teacher.folder}"]', *changes]

    def taught(name: str, share: float) -> Run:
        config = load_config(None, [*keys, f"train.teacher_share={share}"])
        return train(packed, split, config, tmp_path / name, spec=tiny_spec())

    whole = taught("whole", 0.9)
    assert taught("by labels alone", 0).weights_hash != whole.weights_hash
    seed = sentinode.train.loop.step_seed

    def cut(of: int, epoch: int, step: int) -> int:
        if epoch == 3:
            raise KeyboardInterrupt
        return seed(of, epoch, step)

    with monkeypatch.context() as patched:
        patched.setattr(sentinode.train.loop, "step_seed", cut)
        with pytest.raises(KeyboardInterrupt):
            taught("cut", 0.9)
    for name in ("model.safetensors", "history.csv"):
        there = (taught("cut", 0.9).folder / name).read_bytes()
        assert there == (whole.folder / name).read_bytes()


def test_memory_that_runs_out_while_teachers_are_asked_is_one_line(
    teacher: Run, packed: PackedSet, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> torch.Tensor:
        raise MemoryError

    monkeypatch.setattr(Teachers, "said", full)
    keys = [*QUICK, f'train.teachers=["{teacher.folder}"]', "train.teachers_see=plain"]
    with pytest.raises(TrainingError, match="a batch of 64 patches does not fit in memory; close"):
        train(packed, split, load_config(None, keys), tmp_path / "run", spec=tiny_spec())


def test_what_teachers_see_without_a_teacher_is_refused() -> None:
    with pytest.raises(ConfigError, match="teachers_see says what teachers are shown, and none"):
        load_config(None, ["train.teachers_see=plain"])


def test_the_teachers_weights_are_part_of_the_plan_and_not_where_they_lie(
    teacher: Run, packed: PackedSet, split: Split, tmp_path: Path
) -> None:
    config = load_config(None, [*QUICK, f'train.teachers=["{teacher.folder}"]'])
    run = train(packed, split, config, tmp_path / "run", spec=tiny_spec())
    assert run.record.provenance.inputs["teacher_1"] == teacher.weights_hash
    assert str(tmp_path) not in str(run.record.provenance.config)
    with pytest.raises(InputError, match=r"a run made otherwise .*teacher_1"):
        train(packed, split, load_config(None, QUICK), tmp_path / "run", spec=tiny_spec())


def test_a_teacher_that_sees_otherwise_or_is_not_there_is_refused(teacher: Run) -> None:
    settings = TrainConfig(teachers=(str(teacher.folder),))
    with pytest.raises(InputError, match="cannot teach nodenet-base: it takes patches as"):
        teachers_of(settings, spec("nodenet-base"))
    with pytest.raises(MissingInputError, match="no run at /none"):
        teachers_of(TrainConfig(teachers=("/none",)), teacher.spec)


def test_a_teacher_looks_from_several_angles(teacher: Run, packed: PackedSet) -> None:
    images = torch.from_numpy(packed.images[:6].copy())
    inputs = to_input(images, teacher.spec.preprocess)
    settings = TrainConfig(teachers=("nodenet-base",), teacher_share=1, teacher_turns=2)
    found = Teachers((teacher,), settings, COMPUTE).aims(inputs, torch.zeros(6))
    turned = rotate(inputs.numpy(), 45, axes=(2, 3), order=1, reshape=False, mode="reflect")
    with torch.no_grad():
        each = [torch.sigmoid(teacher.load()(x)) for x in (inputs, torch.from_numpy(turned))]
    assert not torch.allclose(*each, atol=1e-4)
    assert found.numpy() == pytest.approx(torch.stack(each).mean(0).numpy(), abs=1e-4)


def test_training_starts_from_the_weights_of_a_run(
    teacher: Run, packed: PackedSet, split: Split, tmp_path: Path
) -> None:
    keys = [*QUICK, f"train.start={teacher.folder}", "train.learning_rate=1e-9"]
    run = train(packed, split, load_config(None, keys), tmp_path / "run", spec=tiny_spec())
    begun, ended = (dict(r.load().named_parameters()) for r in (teacher, run))
    for name in begun:  # means and variances of norms are measured anew
        assert torch.allclose(begun[name], ended[name], atol=1e-6), name
    assert run.record.provenance.inputs["start"] == teacher.weights_hash
    with pytest.raises(InputError, match=r"a run made otherwise .*start"):
        train(
            packed,
            split,
            load_config(None, [*QUICK, "train.learning_rate=1e-9"]),
            tmp_path / "run",
            spec=tiny_spec(),
        )


def test_from_other_weights_an_interrupted_training_ends_in_the_same_bytes(
    teacher: Run, packed: PackedSet, split: Split, tmp_path: Path
) -> None:
    keys = [*QUICK, "train.epochs=3", f"train.start={teacher.folder}"]
    config, out = load_config(None, keys), tmp_path / "broken"

    def stop(row: Mapping[str, float]) -> None:
        if row["epoch"] == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(packed, split, config, out, spec=tiny_spec(), after_epoch=stop)
    runs = [train(packed, split, config, o, spec=tiny_spec()) for o in (out, tmp_path / "whole")]
    assert runs[0].weights_hash == runs[1].weights_hash != teacher.weights_hash


def test_a_run_that_is_needed_is_not_written_over(
    teacher: Run, packed: PackedSet, split: Split
) -> None:
    for key in (f"train.start={teacher.folder}", f'train.teachers=["{teacher.folder}"]'):
        config = load_config(None, [*QUICK, key])
        with pytest.raises(InputError, match="to start or to learn from; choose another --out"):
            train(packed, split, config, teacher.folder, spec=tiny_spec(), force=True)
    assert Run.open(teacher.folder) == teacher


def test_weights_behind_a_training_are_named_by_their_hash(teacher: Run) -> None:
    name = str(teacher.folder)
    found = weights_behind(TrainConfig(start=name, teachers=("nodenet-base", name)))
    assert found["start"] == found["teacher_2"] == teacher.weights_hash != found["teacher_1"]
    assert weights_behind(TrainConfig()) == {}


def test_what_teachers_and_starts_were_trained_on_is_kept_with_the_run(
    teacher: Run, packed: PackedSet, split: Split, tmp_path: Path
) -> None:
    def taught(name: str, *keys: str, by: Split = split, on: PackedSet = packed) -> Run:
        config = load_config(None, [*QUICK, "train.epochs=1", *keys])
        return train(on, by, config, tmp_path / name, spec=tiny_spec())

    assert teacher.record.behind is None
    same = taught("same", f"train.start={teacher.folder}")
    assert same.record.behind is None
    swapped = {**split.units, "valid": split.units["test"], "test": split.units["valid"]}
    resplit = split.model_copy(update={"units": swapped})
    other = taught("other", f'train.teachers=["{teacher.folder}"]', by=resplit)
    assert other.record.behind == "by another split of this set"
    later = taught("later", f"train.start={other.folder}", by=resplit)
    assert later.record.behind == other.record.behind, "a chain does not forget"
    assert predict_set(later, packed, Config(), split=resplit).note["trained_on"] == {
        "set": packed.meta.content_hash,
        "split": resplit.hash,
        "behind": "by another split of this set",
    }
    second = small_set(tmp_path / "second", seed=2)
    elsewhere = taught(
        "elsewhere", f"train.start={teacher.folder}", by=small_split(second), on=second
    )
    assert elsewhere.record.behind == "on another set, which may share slides with this one"
    record = json.loads((teacher.folder / "run.json").read_text())
    record["provenance"]["inputs"] = {"keras": "0" * 64}  # an imported one
    (teacher.folder / "run.json").write_text(json.dumps(record))
    told = taught("imported", f"train.start={teacher.folder}")
    assert told.record.behind == "on patches that nothing tells of"


def test_angles_without_a_teacher_are_refused() -> None:
    with pytest.raises(ConfigError, match="teacher_turns says how teachers look, and none is"):
        load_config(None, ["train.teacher_turns=2"])


def test_another_network_is_no_start(teacher: Run) -> None:
    settings = TrainConfig(start=str(teacher.folder))
    with pytest.raises(InputError, match=r"nodenet-base cannot start from .* the same network"):
        start_of(settings, spec("nodenet-base"))
    assert start_of(settings, teacher.spec) == teacher
    with pytest.raises(MissingInputError, match="no run at /none"):
        start_of(TrainConfig(start="/none"), teacher.spec)
