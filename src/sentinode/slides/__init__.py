"""Slides: reading regions at a scale, whatever the scanner's file."""

from sentinode.slides.reader import Level, Slide

__all__ = ["Level", "Slide"]
