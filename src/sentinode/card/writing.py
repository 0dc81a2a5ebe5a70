"""The card as Markdown and as a page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from markupsafe import Markup

from sentinode.card.blocks import Block, Bullets, Card, Picture, Table, Text, is_gap
from sentinode.core import write_text
from sentinode.errors import InputError
from sentinode.plots import render
from sentinode.types import RESEARCH_USE_ONLY

__all__ = ["card_markdown", "card_page", "write_card"]


def write_card(card: Card, path: Path) -> None:
    """Write a card as ``.md`` or ``.html`` by the suffix, whole or not at all.

    Raises:
        InputError: Another suffix, or the file cannot be written.
    """
    write = {".md": card_markdown, ".html": card_page}.get(path.suffix.lower())
    if write is None:
        raise InputError(f"a card is written as .md or .html, got {path.name}")
    write_text(path, write(card))


def card_markdown(card: Card) -> str:
    """Return a card as Markdown; figures are left out."""
    lines = [f"# Model card: {card.name}", "", f"**{RESEARCH_USE_ONLY}**", "", card.standing]
    lines += ["", f"{card.gaps} gaps: what no file of the run tells is marked as a gap."]
    for section in card.sections:
        lines += ["", f"## {section.title}"]
        for block in section.blocks:
            written = list(_markdown(block))
            lines += ["", *written] if written else []
    return "\n".join(lines) + "\n"


def _markdown(block: Block) -> Iterator[str]:
    if isinstance(block, Text):
        yield _marked(block.said)
    elif isinstance(block, Bullets):
        yield from (f"- {_marked(item)}" for item in block.items)
    elif isinstance(block, Table):
        yield _row(block.columns)
        yield "|" + " --- |" * len(block.columns)
        yield from (_row(tuple(_marked(cell) for cell in row)) for row in block.rows)


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _marked(text: str) -> str:
    return f"*{text}*" if is_gap(text) else text


def card_page(card: Card) -> str:
    """Return a card as one self-contained page."""
    sections = [
        {"title": section.title, "blocks": [_shown(block) for block in section.blocks]}
        for section in card.sections
    ]
    return render("card.html", card=card, sections=sections)


def _shown(block: Block) -> dict[str, Any]:
    if isinstance(block, Text):
        return {"kind": "text", "said": _cell(block.said)}
    if isinstance(block, Bullets):
        return {"kind": "bullets", "items": [_cell(item) for item in block.items]}
    if isinstance(block, Picture):
        return {"kind": "picture", "svg": Markup(block.svg), "caption": block.caption}
    return {
        "kind": "table",
        "columns": block.columns if any(block.columns) else (),
        "rows": [[_cell(cell) for cell in row] for row in block.rows],
    }


def _cell(text: str) -> dict[str, Any]:
    return {"said": text, "gap": is_gap(text), "hash": len(text) == 64 and " " not in text}
