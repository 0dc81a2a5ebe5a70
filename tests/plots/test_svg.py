"""Figures as text, the same each time."""

import numpy as np
from matplotlib.figure import Figure

from sentinode.plots.svg import inline_svg


def drawn(left: float) -> str:
    figure = Figure(figsize=(3, 2))
    figure.add_axes((left, 0.2, 0.7, 0.7)).plot([0, 1], [0, 1])
    return inline_svg(figure, "line", "a line")


def test_the_last_digit_of_a_layout_is_not_seen() -> None:
    """Layouts of one figure differ by a rounding error from one drawing to the next."""
    assert drawn(0.2137) == drawn(float(np.nextafter(0.2137, 1)))
    assert drawn(0.2137) != drawn(0.21)
