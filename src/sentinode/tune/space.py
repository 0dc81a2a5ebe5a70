"""What is tried: keys of the configuration and the values each may take."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from sentinode.config import Config, changed
from sentinode.core import unknown_name
from sentinode.errors import ConfigError, MissingInputError

__all__ = ["Space", "check_space", "ends", "parse_space", "read_space"]

Space = dict[str, BaseDistribution]
"""Values by key, as in ``train.learning_rate``."""

SECTIONS = ("model", "train", "augment")
FORMS = "log:1e-4..1e-2, float:0..0.5, int:1..8, int:16..128:16, logint:8..256 or adam,adamw"
_RANGE = re.compile(r"(log|float|int|logint):([^.].*?)\.\.([^:]+)(?::(.+))?")


def read_space(path: Path) -> Space:
    """Read a TOML file with the sections of a configuration, ranges and lists in place of values.

    Raises:
        MissingInputError: There is no such file.
        ConfigError: It is not TOML, or a value is neither a range nor a list of choices.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingInputError(f"no file {path}; it is to hold ranges, as {FORMS}") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    space: Space = {}
    for section, keys in values.items():
        if not isinstance(keys, Mapping):
            raise ConfigError(f"{path}: {section!r} is no section; expected [train] and its keys")
        space |= {f"{section}.{key}": _values(f"{section}.{key}", v) for key, v in keys.items()}
    return space


def parse_space(texts: Sequence[str]) -> Space:
    """Read ``train.learning_rate=log:1e-4..1e-2`` and its like.

    Raises:
        ConfigError: One is not of this form.
    """
    space: Space = {}
    for text in texts:
        key, equals, values = text.partition("=")
        if not equals or key.count(".") != 1:
            raise ConfigError(f"--key expects SECTION.KEY=VALUES, VALUES as {FORMS}; got {text!r}")
        space[key.strip()] = _values(key.strip(), values.strip())
    return space


def check_space(space: Space, config: Config) -> None:
    """Make sure that every end of a range and every choice can be trained with.

    Raises:
        ConfigError: There is nothing to try, or a key or value is not possible.
    """
    if not space:
        raise ConfigError("nothing to try: give --space FILE, or --key SECTION.KEY=VALUES")
    for key, values in space.items():
        section, _, name = key.partition(".")
        if section not in SECTIONS:
            raise ConfigError(
                f"{key} does not shape a training; what can be tuned lies in the sections "
                f"{', '.join(SECTIONS)}"
            )
        known = type(getattr(config, section)).model_fields
        if name not in known:
            raise ConfigError(
                unknown_name("configuration key", key, [f"{section}.{k}" for k in known])
            )
        for value in ends(values):
            changed(config, {key: value})
        if isinstance(values, FloatDistribution) and _is_whole(known[name].annotation):
            raise ConfigError(f"{key} takes whole numbers; give its range as int:1..8 or logint:")


def _is_whole(annotation: Any) -> bool:
    """Tell whether a key takes integers and no other numbers."""
    kinds = {annotation, *get_args(annotation)}
    return int in kinds and float not in kinds


def ends(values: BaseDistribution) -> Sequence[Any]:
    """Return the choices, or the two ends of a range."""
    if isinstance(values, CategoricalDistribution):
        return values.choices
    if isinstance(values, FloatDistribution | IntDistribution):
        return (values.low, values.high)
    raise TypeError(f"no values of this kind: {values}")


def _values(key: str, given: Any) -> BaseDistribution:
    if isinstance(given, str) and (found := _RANGE.fullmatch(given)):
        return _range(key, given, found)
    choices = given if isinstance(given, list) else str(given).split(",")
    choices = [_plain(c) if isinstance(c, str) else c for c in choices]
    if len(choices) < 2 or not all(isinstance(c, str | int | float | bool) for c in choices):
        raise ConfigError(f"{key}: expected values to try, as {FORMS}; got {given!r}")
    return CategoricalDistribution(choices)


def _range(key: str, given: str, found: re.Match[str]) -> BaseDistribution:
    kind, low, high, step = found.groups()
    log = kind.startswith("log")
    try:
        if kind in ("log", "float"):
            return FloatDistribution(
                float(low), float(high), log=log, step=float(step) if step else None
            )
        return IntDistribution(int(low), int(high), log=log, step=int(step) if step else 1)
    except ValueError as error:
        raise ConfigError(
            f"{key}: {given!r} is no range ({error}); expected one as {FORMS}"
        ) from error


def _plain(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()
