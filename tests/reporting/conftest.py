"""A page read back with Python's own parser: a tree of elements, strict about what it is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

import pytest

_VOID = {"meta", "link", "img", "br", "hr"}
_SELF_CLOSING = {"line", "circle", "path", "rect"}  # of SVG


@dataclass(eq=False)
class Element:
    """An element with its attributes and what is in it, in order."""

    tag: str
    attributes: dict[str, str]
    parent: Element | None = None
    inside: list[Element | str] = field(default_factory=list)

    def walk(self):
        """Yield this element and all below it."""
        yield self
        for each in self.inside:
            if isinstance(each, Element):
                yield from each.walk()

    def all(self, tag=None, **attributes):
        """List the elements below that have a tag and attributes; `_` stands for `-`, `class_` is among the classes."""
        found = []
        for each in self.walk():
            if tag is not None and each.tag != tag:
                continue
            for name, value in attributes.items():
                if name == "class_":
                    if value not in each.attributes.get("class", "").split():
                        break
                elif each.attributes.get(name.replace("_", "-")) != value:
                    break
            else:
                found.append(each)
        return found

    def text(self):
        """Return all text below, as it is written."""
        return "".join(each if isinstance(each, str) else each.text() for each in self.inside)

    def up(self):
        """Yield this element and those around it, the innermost first."""
        each = self
        while each is not None:
            yield each
            each = each.parent

    def strings(self):
        """Yield each piece of text with the element that it stands in."""
        for each in self.walk():
            for piece in each.inside:
                if isinstance(piece, str) and piece.strip():
                    yield each, piece


class _Reader(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.root = Element("document", {})
        self.open = self.root

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"an attribute twice in <{tag}>"
        element = Element(tag, {name: value or "" for name, value in attrs}, self.open)
        self.open.inside.append(element)
        if tag not in _VOID:
            self.open = element

    def handle_startendtag(self, tag, attrs):
        assert tag in _SELF_CLOSING, f"<{tag}/> closes nothing in HTML"
        self.handle_starttag(tag, attrs)
        self.open = self.open.parent

    def handle_endtag(self, tag):
        assert tag == self.open.tag, f"</{tag}> where <{self.open.tag}> is open"
        self.open = self.open.parent

    def handle_data(self, data):
        self.open.inside.append(data)

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data[:40]}")


@pytest.fixture(scope="session")
def read_page():
    """Give `read_page(text)`: the tree of a page."""
    return _read


def _read(text):
    """Parse a page; each element has to be closed in its place."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert reader.open is reader.root, f"<{reader.open.tag}> is never closed"
    return reader.root
