"""Killed with kill -9 at 20 random moments, a training ends in the bytes of one left in peace."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from builders.sets import small_set, small_split

# One process imports everything once; each training is a fork of it, so that the moments fall
# into the training and not into its start.
SCRIPT = """
import os, random, signal, sys, time, warnings
from pathlib import Path
import sentinode.train.stored
from builders.sets import QUICK, tiny_spec
from sentinode.config import load_config
from sentinode.models import Run, spec
from sentinode.predict import predict_set
from sentinode.tables import PackedSet, Split
from sentinode.train import train

folder, name, epochs, seed = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
if sys.argv[5] == "steps":  # each is stored, not whole epochs alone
    sentinode.train.stored.SECONDS_BETWEEN_WRITTEN = sentinode.train.stored.TIMES_AS_LONG = 0.0
packed = PackedSet.open(folder / "set")
split = Split.read(packed.folder / "split.json")
everything = ["augment.orientations=all", "augment.stain=0.1", "train.average=0.9"]
config = load_config(None, [*QUICK, f"train.epochs={epochs}", "train.patience=none", *everything])
network = tiny_spec() if name == "tiny" else spec(name)


def start(out):
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            run = train(packed, split, config, out, spec=network)
            predict_set(run, packed, config).write(out / "predictions.parquet")
        except BaseException:
            os._exit(1)
        os._exit(0)
    return child


def content(out):
    assert not list(out.glob(".*.partial*")), "a temporary file was left"
    files = ("spec.json", "model.safetensors", "history.csv", "config.toml", "predictions.parquet")
    return {file: (out / file).read_bytes() for file in files}


begun = time.perf_counter()
_, status = os.waitpid(start(folder / "whole"), 0)
seconds = time.perf_counter() - begun
assert status == 0
whole = content(folder / "whole")
rng = random.Random(seed)
kills, runs = 0, 0
while kills < 20:
    out = folder / f"killed-{runs}"
    status = None
    while status != 0:
        child = start(out)
        time.sleep(rng.uniform(0, seconds) if kills < 20 else 0)
        if kills < 20:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert status in (0, signal.SIGKILL), status
        kills += status == signal.SIGKILL
    assert content(out) == whole, f"run {runs} differs"
    runs += 1
print(f"{kills} kills over {runs} runs of {seconds:.1f} s")
"""


@pytest.mark.slow
@pytest.mark.parametrize("stored", ["epochs", "steps"])
@pytest.mark.parametrize(
    ("name", "count", "size", "epochs"), [("tiny", 96, 16, 12), ("baseline-colour", 48, 96, 3)]
)
def test_killed_at_twenty_random_moments(
    tmp_path: Path, name: str, count: int, size: int, epochs: int, stored: str
) -> None:
    small_split(small_set(tmp_path / "set", count, size=size))
    tests = str(Path(__file__).parents[1])
    path = os.pathsep.join(filter(None, [tests, os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, tmp_path, name, str(epochs), "1", stored],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("20 kills")
    print(done.stdout)
