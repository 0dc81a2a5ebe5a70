"""Configuration from a TOML file and ``section.key=value`` overrides."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import BaseModel, ValidationError

from sentinode.config.sections import Config
from sentinode.core import unknown_name
from sentinode.errors import ConfigError, MissingInputError

__all__ = ["changed", "config_names", "load_config", "resolved_toml"]

_SHIPPED = files("sentinode") / "configs"


def config_names() -> tuple[str, ...]:
    """Return the names of the configurations that come with the package."""
    return tuple(sorted(f.name[:-5] for f in _SHIPPED.iterdir() if f.name.endswith(".toml")))


def load_config(path: Path | None = None, overrides: Sequence[str] = ()) -> Config:
    """Make the configuration: defaults, then the file, then the overrides.

    Args:
        path: A TOML file, the name of one that comes with the package, or None for the defaults.
        overrides: Strings ``section.key=value`` as given to ``--set``; the value is read as
            TOML, and as a plain string where it is none.

    Raises:
        MissingInputError: There is no such file.
        ConfigError: The file is not TOML, or a key or value is not known; the message names the
            nearest key.
    """
    values = _read(path) if path is not None else {}
    for override in overrides:
        _override(values, override)
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_plainly(error, path)) from error


def changed(config: Config, values: Mapping[str, Any]) -> Config:
    """Return a configuration with some keys changed.

    Args:
        config: What the other keys are taken from.
        values: By key, as in ``{"train.epochs": 3}``.

    Raises:
        ConfigError: A key or value is not known, or does not go with the others.
    """
    settings = config.model_dump(mode="json")
    for key, value in values.items():
        section, _, name = key.partition(".")
        settings.setdefault(section, {})[name] = value
    try:
        return Config.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(_plainly(error, None)) from error


def resolved_toml(config: Config, sections: Sequence[str] = tuple(Config.model_fields)) -> str:
    """Return the configuration as TOML, every key of these sections written out."""
    values = config.model_dump(mode="json", include=set(sections))
    for section in values.values():  # TOML has no word for nothing
        section.update({key: "none" for key, value in section.items() if value is None})
    return tomlkit.dumps(values)


def _read(path: Path) -> dict[str, Any]:
    if str(path) in config_names() and not path.is_file():
        return tomllib.loads((_SHIPPED / f"{path}.toml").read_text(encoding="utf-8"))
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        known = ", ".join(config_names())
        raise MissingInputError(
            f"no configuration file {path}; those known by name are {known}"
        ) from error
    except IsADirectoryError as error:
        raise ConfigError(f"{path} is a folder, expected a TOML file") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error


def _override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    section, dot, name = key.strip().partition(".")
    if not (equals and dot and section and name):
        raise ConfigError(
            f"--set expects section.key=value, as in train.epochs=3; got {override!r}"
        )
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    inner = values.setdefault(section, {})
    if not isinstance(inner, dict):
        raise ConfigError(f"{section!r} is not a section of the configuration file")
    inner[name] = value


def _plainly(error: ValidationError, path: Path | None) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return unknown_name("configuration key", where, _siblings(where))
    given = first.get("input")
    source = f" (in {path})" if path is not None else ""
    more = f"; and {error.error_count() - 1} more" if error.error_count() > 1 else ""
    return f"{where} = {given!r}: {first['msg'][0].lower()}{first['msg'][1:]}{source}{more}"


def _siblings(where: str) -> list[str]:
    section = where.rpartition(".")[0]
    if not section:
        return list(Config.model_fields)
    model = Config.model_fields[section].annotation
    known = model.model_fields if isinstance(model, type) and issubclass(model, BaseModel) else {}
    return [f"{section}.{name}" for name in known]
