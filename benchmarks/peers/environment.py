"""An environment of its own for Keras 3 on TensorFlow, so that neither disturbs the project's."""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path

__all__ = ["NEEDS", "keras_python"]

NEEDS = ("keras==3.15.1", "tensorflow-cpu==2.21.0", "pillow==12.0.0")


def keras_python(env: Path) -> Path:
    """Return the environment's Python; what is missing is installed (about 2 GB)."""
    python = env / "bin/python"
    if not python.exists():
        venv.create(env, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *NEEDS], check=True)
    return python
