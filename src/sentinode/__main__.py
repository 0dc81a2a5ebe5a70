"""``python -m sentinode``."""

from sentinode.cli.main import run

run()
