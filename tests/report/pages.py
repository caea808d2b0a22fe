"""What tests of pages share: a strict reader of HTML, hostile words, and documents with a gap at every place."""

from __future__ import annotations

import copy
from html.parser import HTMLParser

EVIL = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</script><script>alert(1)//",
    "{{ 7 * 7 }}",
    "javascript:alert(1)",
)
VOID = {"meta", "br", "input", "img", "link", "hr"}


class Page(HTMLParser):
    """Elements with their attributes, and the text between them; refuses tags that are closed in the wrong order."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.open, self.text = [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self._apart(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self._apart(tag)

    def _apart(self, tag):
        if tag not in {"mark", "b", "a", "strong", "q", "em", "code"}:
            self.text.append(" ")

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.text.append(data)

    def all(self, *tags):
        return [attributes for tag, attributes in self.elements if tag in tags]

    @property
    def words(self):
        return " ".join("".join(self.text).split())


def shortened(value):
    """Return a copy in which lists are no longer than two."""
    if isinstance(value, dict):
        return {key: shortened(inner) for key, inner in value.items()}
    return [shortened(inner) for inner in value[:2]] if isinstance(value, list) else value


def paths(value, path=()):
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        # Of the second of two alike there is nothing new to learn.
        if key != 1 or len(path) < 2:
            found += paths(inner, (*path, key))
    return found


def without(value, path, what):
    if not path:
        return what
    changed = copy.copy(value)
    if len(path) == 1 and what == "absent" and isinstance(changed, dict):
        del changed[path[0]]
    else:
        changed[path[0]] = None if len(path) == 1 else without(value[path[0]], path[1:], what)
    return changed
