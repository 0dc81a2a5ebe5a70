"""``sentinode`` and ``python -m sentinode``; a worker process imports this and no more."""

__all__ = ["run"]


def run() -> None:
    """Run the command line."""
    from sentinode.cli.main import run as run_command_line

    run_command_line()


if __name__ == "__main__":
    run()
