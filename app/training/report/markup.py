"""HTML from text: whatever is not HTML already is escaped. A page needs no other file."""

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from string import Template

from PIL import Image

from app.disk import replacing

# A name of a file may hold bytes that are not UTF-8. They are escaped as JSON escapes them.
ODD_NAMES = "backslashreplace"

_PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --ink: light-dark(#1f2430, #e6e8ee);
  --dim: light-dark(#5d6475, #a3aabb); --ground: light-dark(#f6f7fb, #12151c);
  --card: light-dark(#fff, #1b1f29); --edge: light-dark(#dfe3ec, #303646);
  --blue: light-dark(#2563eb, #6b9bff); --orange: light-dark(#b45309, #f59e0b);
  --bar: light-dark(#dbe6ff, #24365f); }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground);
  max-width: 60rem; margin: 1.5rem auto 4rem; padding: 0 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: 0; line-height: 1.25; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .3rem; }
p { color: var(--dim); margin: .2rem 0 .8rem; max-width: 46rem; }
dl.tiles { display: grid; gap: .6rem;
  grid-template-columns: repeat(auto-fill, minmax(152px, 1fr)); }
dl.tiles div, figure { background: var(--card); border: 1px solid var(--edge); border-radius: 10px;
  padding: .6rem .8rem; margin: 0; }
dl.tiles dt, figcaption small { color: var(--dim); font-size: .8rem; }
dl.tiles dd { margin: 0; font-size: 1.3rem; font-weight: 600; line-height: 1.3; }
dl.tiles dd small { display: block; font-size: .8rem; font-weight: 400; color: var(--dim); }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 340px), 1fr));
  gap: .8rem; }
.photos { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: .6rem; }
.photos.wide { grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); }
.photos figure { padding: .4rem; } .photos img { width: 100%; border-radius: 6px; display: block; }
.photos .pair { display: grid; grid-template-columns: 1fr 1fr; gap: .3rem; }
figcaption { margin-top: .3rem; line-height: 1.35; } figcaption small { display: block; }
.legend { display: flex; flex-wrap: wrap; gap: 0 1rem; } .legend b { flex: 1 0 100%; }
.legend span::before { content: ""; display: inline-block; width: 14px; height: 3px;
  margin-right: 6px; vertical-align: middle; background: currentColor; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; background: var(--card);
  border: 1px solid var(--edge); font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid var(--edge);
  overflow-wrap: normal; }
th { color: var(--dim); font-weight: 500; } th.text, td.text { text-align: left; }
td.share { background:
  linear-gradient(90deg, var(--bar) calc(var(--share) * 100%), transparent 0); }
tr.best { font-weight: 600; } code, pre { font: 13px/1.5 ui-monospace, monospace; }
pre { background: var(--card); border: 1px solid var(--edge); border-radius: 10px;
  padding: .6rem .8rem; white-space: pre-wrap; } details { margin: .8rem 0; }
summary { cursor: pointer; color: var(--blue); padding: .3rem 0; }
a { color: var(--blue); } svg { width: 100%; display: block; } svg line { stroke: var(--edge); }
svg text { font-size: 12px; fill: var(--dim); } .end { text-anchor: end; }
.middle { text-anchor: middle; }
@media (max-width: 30rem) { th, td { padding: .25rem .35rem; font-size: .9rem; } }
.blue { color: var(--blue); } .orange { color: var(--orange); }
.dim { color: var(--dim); }
svg polyline { fill: none; stroke: currentColor; stroke-width: 2; stroke-linejoin: round; }
svg circle { fill: currentColor; } svg line.mark { stroke: var(--dim); stroke-dasharray: 4 3; }
svg line.phase { stroke: var(--dim); stroke-dasharray: 1 4; }
svg line.error { stroke: currentColor; stroke-width: 1.5; opacity: .45; }
</style></head>
<body>
<h1>$title</h1>
$body
</body></html>
""")


class Markup(str):
    """HTML in which all text is escaped already."""

    __slots__ = ()


def tag(name: str, *children: str, **attributes: object) -> Markup:
    """Return an HTML element. Text in it is escaped, unless it is `Markup`.

    An underscore behind the name of an attribute is left out: `class_`.
    """
    inner = join(children)
    named = "".join(
        f' {key.rstrip("_")}="{escape(str(value))}"' for key, value in attributes.items()
    )
    end = "" if name in {"br", "img"} else f"</{name}>"
    return Markup(f"<{name}{named}>{inner}{end}")


def join(parts: Iterable[str]) -> Markup:
    """Return the parts one behind the other; text is escaped, `Markup` is not."""
    return Markup("".join(part if isinstance(part, Markup) else escape(part) for part in parts))


def write_page(path: Path, title: str, *body: str) -> None:
    """Write a page that adapts to narrow screens and to a dark desktop."""
    text = _PAGE.substitute(title=escape(title), body=join(body))
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", errors=ODD_NAMES)


def section(heading: str, about: str | Markup, *body: str) -> Markup:
    """Return a heading, a paragraph that explains it, and what follows."""
    return join((tag("h2", heading), tag("p", about) if about else "", *body))


def tiles(facts: Iterable[tuple[str, str, str]]) -> Markup:
    """Return the main figures side by side, from (name, value, remark)."""
    boxes = (
        tag("div", tag("dt", name), tag("dd", value, tag("small", remark) if remark else ""))
        for name, value, remark in facts
    )
    return tag("dl", *boxes, class_="tiles")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], best: int | None = None) -> Markup:
    """Return a table whose first column is text; row number `best` is set in bold.

    A cell that is `Markup` is a whole `<td>` or `<th>`.
    """
    lines = [tag("tr", *_cells("th", head))]
    for number, row in enumerate(rows):
        marks = {"class": "best"} if number == best else {}
        lines.append(tag("tr", *_cells("td", row), **marks))
    return tag("div", tag("table", *lines), class_="scroll")


def share_cell(share: float) -> Markup:
    """Return a table's cell with a share, 0 to 1, in percent and as a bar."""
    return tag("td", f"{share:.1%}", class_="share", style=f"--share:{share:.4f}")


def _cells(kind: str, row: Sequence[str]) -> Iterator[Markup]:
    for column, cell in enumerate(row):
        marks = {} if column else {"class": "text"}
        yield cell if isinstance(cell, Markup) else tag(kind, cell, **marks)


def details(summary: str, *body: str) -> Markup:
    """Return a part that opens when the reader asks for it."""
    return tag("details", tag("summary", summary), *body)


def picture(image: Image.Image, alt: str) -> Markup:
    """Return a picture whose bytes are in the page."""
    file = io.BytesIO()
    image.save(file, "WEBP", quality=75)
    data = base64.b64encode(file.getvalue()).decode()
    return tag(
        "img",
        src=f"data:image/webp;base64,{data}",
        width=image.width,
        height=image.height,
        alt=alt,
        style="height:auto",
    )
