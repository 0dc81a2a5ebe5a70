"""Sources, the packed set, its audit and its split; `data.loader` alone needs PyTorch."""

from sentinode.data.pack import pack
from sentinode.data.sources import Source, open_source

__all__ = ["Source", "open_source", "pack"]
