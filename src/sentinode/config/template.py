"""The commented configuration file that ``sentinode init`` writes."""

from __future__ import annotations

import textwrap

import tomlkit
from tomlkit.items import Table

from sentinode.config.section import Section
from sentinode.config.sections import Config

__all__ = ["commented_toml"]


def commented_toml(config: Config | None = None) -> str:
    """Return TOML with every key, its value and what it means; unset keys are commented out."""
    config = config or Config()
    document = tomlkit.document()
    document.add(tomlkit.comment("Configuration of sentinode: every key with its default."))
    document.add(
        tomlkit.comment("Delete what you do not change; `sentinode config` shows the rest.")
    )
    for name, field in type(config).model_fields.items():
        document.add(tomlkit.nl())
        document.add(name, _table(getattr(config, name), field.description or ""))
    return tomlkit.dumps(document)


def _table(section: Section, description: str) -> Table:
    table = tomlkit.table()
    table.add(tomlkit.comment(description))
    for key, value in section.settings().items():
        for line in textwrap.wrap(type(section).model_fields[key].description or "", 96):
            table.add(tomlkit.comment(line))
        if value is None:
            table.add(tomlkit.comment(f"{key} ="))
        else:
            table.add(key, value)
    return table
