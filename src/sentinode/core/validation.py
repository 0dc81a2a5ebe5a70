"""What was found wrong, for a message of one line."""

from __future__ import annotations

from pydantic import ValidationError

__all__ = ["first_fault", "first_line"]


def first_fault(error: ValidationError, *, within: str = "", got: bool = False) -> str:
    """Return the first fault, as in ``items.0.size: Input should be greater than 0``.

    Args:
        error: What validation raised.
        within: Name of the whole, put before the place of the fault.
        got: Say what stood there, too.
    """
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in (*filter(None, [within]), *first["loc"]))
    said = f"{where}: {first['msg']}" if where else first["msg"]
    return f"{said}, got {first['input']!r}" if got else said


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or its name where it says nothing.

    A line that ends in a colon is taken with the next.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    lines = lines or [type(error).__name__]
    return " ".join(lines[: 2 if lines[0].endswith(":") else 1])
