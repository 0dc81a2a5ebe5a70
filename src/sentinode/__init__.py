"""sentinode: metastatic cancer in H&E-stained lymph-node tissue, from patches to a report."""

__version__ = "0.1.0"
__all__ = ["__version__"]
