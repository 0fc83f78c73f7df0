"""Small fonts with the letters that a test needs."""

from pathlib import Path

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen


def make_font(path: Path, letters: str) -> Path:
    """Write a font whose letters are triangles, and whose sign for a missing letter is a square."""
    shapes = {".notdef": [(0, 0), (0, 600), (600, 600), (600, 0)]}
    shapes |= {f"u{ord(c)}": [(0, 0), (100 + ord(c) % 400, 700), (600, 0)] for c in letters}
    glyphs = {}
    for name, points in shapes.items():
        pen = TTGlyphPen(None)
        pen.moveTo(points[0])
        for point in points[1:]:
            pen.lineTo(point)
        pen.closePath()
        glyphs[name] = pen.glyph()
    builder = FontBuilder(1000)
    builder.setupGlyphOrder(list(shapes))
    builder.setupCharacterMap({ord(c): f"u{ord(c)}" for c in letters})
    builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics(dict.fromkeys(shapes, (650, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Test", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    path.parent.mkdir(parents=True, exist_ok=True)
    builder.save(path)
    return path
