"""Pages that show a packed set before anything is trained on it; PyTorch is not needed."""

from sentinode.explore.gallery import AUDIT_PAGE, write_audit_page, write_pairs_page

__all__ = ["AUDIT_PAGE", "write_audit_page", "write_pairs_page"]
