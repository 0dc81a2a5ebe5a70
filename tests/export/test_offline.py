"""Export and prediction in processes of their own, without a network."""

import os
import subprocess
import sys
from pathlib import Path

from builders.sets import small_set, small_split
from sentinode.export import Exported
from sentinode.models import Run
from sentinode.tables import PackedSet, Predictions

CUT = """
import os, socket, sys

def cut(*args, **kwargs):
    os.write(2, b"NETWORK ASKED FOR\\n")
    os._exit(9)

for name in ("getaddrinfo", "create_connection", "gethostbyname"):
    setattr(socket, name, cut)
socket.socket.connect = socket.socket.connect_ex = cut
sys.argv[1:] = sys.argv[1:]
from sentinode.cli.main import app
for arguments in ARGUMENTS:
    code = app(arguments, standalone_mode=False)
    assert not code, code
AFTER
"""


def without_network(arguments: list[list[str]], home: Path, after: str = "") -> str:
    home.mkdir()
    code = CUT.replace("ARGUMENTS", repr(arguments)).replace("AFTER", after)
    # a home of its own: no earlier word about telemetry, and none left behind
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "CI", "NNCF"))
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=environment | {"HOME": str(home)},
    )
    assert done.returncode == 0, done.stderr
    assert list(home.iterdir()) == []
    return done.stdout


def test_export_and_prediction_with_the_network_cut(run: Run, tmp_path: Path) -> None:
    packed = small_set(tmp_path / "set", mpp=0.97)
    small_split(packed)
    out, table = str(tmp_path / "out"), str(tmp_path / "p.parquet")
    export = ["export", str(run.folder), "--out", out, "--format", "onnx,openvino", "--precision"]
    export += ["float32,int8", "--check-set", str(packed.folder)]
    export += ["--set", "export.auc_tolerance=1", "--set", "export.calibration_patches=10"]
    predict = ["predict", out, str(packed.folder), "--out", table]
    by_onnx = [
        "predict",
        f"{out}/onnx-float32",
        str(packed.folder),
        "--out",
        str(tmp_path / "p.csv"),
    ]
    said = without_network([export, predict, by_onnx], tmp_path / "home")
    assert "openvino int8: largest difference of probability" in said
    assert (
        f"wrote {table}: 54 patches predicted, 0 left out; tiny by openvino on cpu in int8" in said
    )
    assert len(Predictions.read(Path(table)).frame) == 54


def test_an_export_predicts_without_pytorch(
    exported: Exported, packed: PackedSet, tmp_path: Path
) -> None:
    after = (
        "loaded = {n.partition('.')[0] for n, m in sys.modules.items() if m is not None}\n"
        "print('LOADED', sorted(loaded & {'torch', 'openvino_telemetry', 'sklearn', 'nncf'}))"
    )
    commands = [
        [
            "predict",
            str(export.folder),
            str(packed.folder),
            "--out",
            str(tmp_path / f"{number}.csv"),
        ]
        for number, export in enumerate(exported.exports)
        if export.title in ("onnx float32", "openvino float32", "openvino int8")
    ]
    assert len(commands) == 3
    assert "LOADED []" in without_network(commands, tmp_path / "home", after)
