"""HTML that a value shows itself by in a notebook, read as a browser reads it: is it whole, is it harmless, what does it say?"""

from __future__ import annotations

from html.parser import HTMLParser

TAGS = {"br", "caption", "code", "div", "mark", "p", "s", "small", "span", "strong"}
TAGS |= {"table", "tbody", "td", "th", "thead", "tr"}
ATTRIBUTES = {"aria-hidden", "dir", "scope", "style", "title"}


class Fragment(HTMLParser):
    """A piece of HTML.

    Attributes:
        text: All that it says, on one line.
        rows: The texts of the cells of each table row, headings included.
        marks: The `title` and the text of each mark.
    """

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.pieces: list[str] = []
        self.rows: list[list[str]] = []
        self.marks: list[tuple[str, str]] = []
        html.encode()  # no lone surrogate: a notebook could not be saved
        self.feed(html)
        self.close()
        assert self.open == [], f"never closed: {self.open}"
        self.text = " ".join("".join(self.pieces).split())

    def handle_starttag(self, tag, attrs):
        assert tag in TAGS, f"<{tag}> is not what we write"
        for name, value in attrs:
            assert name in ATTRIBUTES, f'<{tag} {name}="{value}"> is not what we write'
            assert name != "style" or "url(" not in value
        if tag == "br":
            return
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in {"td", "th"}:
            self.rows[-1].append("")
        elif tag == "mark":
            self.marks.append((dict(attrs)["title"], ""))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag in {"caption", "p", "table", "td", "th"}:
            self.pieces.append(" ")

    def handle_data(self, data):
        self.pieces.append(data)
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data
        if "mark" in self.open:
            self.marks[-1] = (self.marks[-1][0], self.marks[-1][1] + data)
