"""Model cards: a run, told to whoever must judge whether to use it."""

from sentinode.card.blocks import Card
from sentinode.card.making import make_card
from sentinode.card.writing import card_markdown, card_page, write_card

__all__ = ["Card", "card_markdown", "card_page", "make_card", "write_card"]
