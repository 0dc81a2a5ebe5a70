"""What a page holds, read as a browser would."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """Text in order, every attribute, and the elements that were left open."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    @property
    def text(self) -> str:
        """All visible text, with single spaces."""
        return " ".join(" ".join(self.texts).split())

    @property
    def ids(self) -> list[str | None]:
        """The ids of all elements."""
        return [value for _, name, value in self.attributes if name == "id"]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "title"):
            self.texts.append(data)


def outward(page: str) -> list[str]:
    """Return all in a page that could make a browser ask for something else."""
    found = re.findall(r"(?:https?:)?//[\w.-]+\.\w+", re.sub(r"base64,[^\"']*", "", page))
    found += re.findall(r"@import|<script|<iframe|<object", page)
    found += [u for u in re.findall(r"url\(([^)]*)\)", page) if not u.startswith("#")]
    for _, name, value in Page(page).attributes:
        links = name in ("src", "href", "xlink:href", "srcset", "action")
        if links and value is not None and not value.startswith(("data:", "#")):
            found.append(value)
    return found
