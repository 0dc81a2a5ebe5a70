"""What a card is made of, before it is Markdown or a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

__all__ = ["Block", "Bullets", "Card", "Picture", "Section", "Table", "Text", "gap", "is_gap"]

GAP = "Gap: "


def gap(why: str) -> str:
    """Return a text that says what is not known, and is shown as such."""
    return f"{GAP}{why}"


def is_gap(text: str) -> bool:
    """Return whether a text is one of :func:`gap`."""
    return text.startswith(GAP)


@final
@dataclass(frozen=True)
class Text:
    """A paragraph."""

    said: str


@final
@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    items: tuple[str, ...]


@final
@dataclass(frozen=True)
class Table:
    """A table; each row has as many cells as there are columns."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@final
@dataclass(frozen=True)
class Picture:
    """A figure as SVG, on the page only."""

    svg: str
    caption: str


Block = Text | Bullets | Table | Picture


@final
@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: tuple[Block, ...]


@final
@dataclass(frozen=True)
class Card:
    """A model card.

    Attributes:
        name: Of the network.
        standing: How far its figures can be believed, in a sentence.
        optimistic: Whether they are known to be too good.
        sections: In the order of reading.
    """

    name: str
    standing: str
    optimistic: bool
    sections: tuple[Section, ...]

    @property
    def gaps(self) -> int:
        """How many things the card says are not known."""
        return sum(
            is_gap(text)
            for section in self.sections
            for block in section.blocks
            for text in _texts(block)
        )


def _texts(block: Block) -> tuple[str, ...]:
    if isinstance(block, Text):
        return (block.said,)
    if isinstance(block, Bullets):
        return block.items
    if isinstance(block, Table):
        return tuple(cell for row in block.rows for cell in row)
    return ()
