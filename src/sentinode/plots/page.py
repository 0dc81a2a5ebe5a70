"""HTML pages from the templates of this package, with one style sheet inside each."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sentinode.types import RESEARCH_USE_ONLY

__all__ = ["render"]


def render(template: str, **context: Any) -> str:
    """Return a page that needs nothing but itself; text is escaped, figures are not.

    Args:
        template: Name of a template, as in "report.html".
        context: What the template shows; SVG as :class:`markupsafe.Markup`.
    """
    loader = PackageLoader("sentinode.plots", "templates")
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = loader.get_source(environment, "style.css")[0]
    page = environment.get_template(template)
    return page.render(style=Markup(style), notice=RESEARCH_USE_ONLY, **context)
