"""Light starts and clean doors, each in a fresh interpreter."""

import importlib
import pkgutil
import subprocess
import sys

import pytest

import sentinode

PACKAGES = sorted(
    f"sentinode.{m.name}" for m in pkgutil.iter_modules(sentinode.__path__) if m.ispkg
)
HEAVY = ("torch", "pandas", "numpy", "matplotlib", "sklearn", "scipy", "pydantic")


def loaded_after(code: str) -> set[str]:
    program = f"{code}\nimport sys\nprint(' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


def test_help_imports_nothing_heavy() -> None:
    loaded = loaded_after("import sentinode.cli.main")
    assert not loaded.intersection(HEAVY)


@pytest.mark.parametrize(
    "package",
    [
        "evaluate",
        "tables",
        "metrics",
        "plots",
        "phantom",
        "config",
        "core",
        "data",
        "explore",
        "slides",
    ],
)
def test_opens_without_torch(package: str) -> None:
    assert "torch" not in loaded_after(f"import sentinode.{package}")


@pytest.mark.parametrize("package", PACKAGES)
def test_public_door_is_what_it_says(package: str) -> None:
    module = importlib.import_module(package)
    if package == "sentinode.cli":  # its door is the program itself
        assert not hasattr(module, "__all__")
        return
    assert len(module.__all__) == len(set(module.__all__))
    missing = [name for name in module.__all__ if not hasattr(module, name)]
    assert missing == []


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_import_one_by_one(package: str) -> None:
    module = importlib.import_module(package)
    for found in pkgutil.iter_modules(module.__path__):
        assert importlib.import_module(f"{package}.{found.name}")


def test_a_worker_that_reads_patches_imports_little() -> None:
    loaded = loaded_after("import sentinode.data.chunks")
    assert not loaded.intersection({"torch", "h5py", "scipy.ndimage", "sentinode.config", "typer"})
