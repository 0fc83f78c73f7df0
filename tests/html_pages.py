"""Reads the pages of runs and evaluations as a person does: headings, tables, pictures."""

from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path

_VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """A page's contents by the heading above them.

    Attributes:
        tables: all tables below a heading one behind the other, as rows of cells.
        texts: the text below a heading, without that of drawings.
        sources: the address of every picture, stylesheet and script.
        drawn: the letters in the drawings below a heading.
    """

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = defaultdict(list)
        self.texts: dict[str, str] = defaultdict(str)
        self.drawn: dict[str, list[str]] = defaultdict(list)
        self.sources: list[str] = []
        self._heading = ""
        self._open: list[str] = []
        self.feed(file.read_text("utf-8"))
        assert not self._open, "an element is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _VOID and not tag.startswith("!"):
            self._open.append(tag)
        if tag in {"h1", "h2"}:
            self._heading = ""
        elif tag == "tr":
            self.tables[self._heading].append([])
        elif tag in {"td", "th"}:
            self.tables[self._heading][-1].append("")
        self.sources += [value or "" for key, value in attrs if key in {"src", "srcset"}]
        self.sources += [dict(attrs).get("href") or ""] if tag == "link" else []

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "svg" in self._open:
            if self._open[-1] == "text":
                self.drawn[self._heading].append(data)
        elif {"h1", "h2"} & set(self._open):
            self._heading += data
        elif {"td", "th"} & set(self._open):
            self.tables[self._heading][-1][-1] += data
        elif "style" not in self._open:
            self.texts[self._heading] += data
