"""A packed set looked at: its figures, and one page that shows them with its patches."""

from sentinode.explore.exploring import Explored, explore, write_exploration
from sentinode.explore.facts import Exploration
from sentinode.explore.page import explore_page

__all__ = ["Exploration", "Explored", "explore", "explore_page", "write_exploration"]
