"""Pages that show a packed set before anything is trained on it; PyTorch is not needed."""

from sentinode.explore.exploring import Explored, explore, write_exploration
from sentinode.explore.facts import Exploration
from sentinode.explore.gallery import AUDIT_PAGE, write_audit_page, write_pairs_page
from sentinode.explore.page import explore_page

__all__ = [
    "AUDIT_PAGE",
    "Exploration",
    "Explored",
    "explore",
    "explore_page",
    "write_audit_page",
    "write_exploration",
    "write_pairs_page",
]
