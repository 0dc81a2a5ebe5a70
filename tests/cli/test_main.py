import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from sentinode.cli import main


def sentinode(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sentinode", *args], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["packk"], "did you mean 'pack'"),
        (["config", "--sett", "a"], "No such option: --sett"),
        (["config", "--set", "train.epoch=3"], "did you mean 'train.epochs'"),
        (["config", "--config", "none.toml"], "no configuration file none.toml"),
        (["doctor", "x"], "unexpected extra argument"),
        (["pack"], "Missing argument"),
    ],
)
def test_a_users_mistake_is_one_line_and_code_2(args: list[str], words: str) -> None:
    done = sentinode(*args)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert words in done.stderr


def test_init_writes_what_config_reads(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    assert sentinode("init", str(file)).returncode == 0
    again = sentinode("init", str(file))
    assert again.returncode == 2
    assert "--force" in again.stderr
    done = sentinode("config", "--config", str(file), "--set", "train.epochs=4")
    assert tomllib.loads(done.stdout)["train"]["epochs"] == 4


def test_interrupt_and_full_disk_and_defect(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def raising(error: BaseException) -> object:
        def app(**_: object) -> None:
            raise error

        return app

    for error, words in (
        (KeyboardInterrupt(), "interrupted; what was finished is kept"),
        (OSError(28, "No space left on device"), "the disk is full"),
    ):
        monkeypatch.setattr(main, "app", raising(error))
        with pytest.raises(SystemExit) as stopped:
            main.run()
        assert stopped.value.code == 2
        assert words in capsys.readouterr().err
    monkeypatch.setattr(main, "app", raising(ZeroDivisionError("a defect")))
    with pytest.raises(ZeroDivisionError):
        main.run()


def test_doctor_names_what_is_there_and_how_to_mend_the_rest() -> None:
    done = sentinode("doctor")
    assert done.returncode == 0
    assert "bfloat16" in done.stdout
    assert "base: all" in done.stdout
