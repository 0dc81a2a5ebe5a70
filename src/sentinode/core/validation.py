"""What pydantic found wrong, for a message of one line."""

from __future__ import annotations

from pydantic import ValidationError

__all__ = ["first_fault"]


def first_fault(error: ValidationError, *, within: str = "") -> str:
    """Return the first fault, as in ``items.0.size: Input should be greater than 0``.

    Args:
        error: What validation raised.
        within: Name of the whole, put before the place of the fault.
    """
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in (*filter(None, [within]), *first["loc"]))
    return f"{where}: {first['msg']}" if where else first["msg"]
