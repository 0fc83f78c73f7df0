"""Fonts for the letters of labels: which one has them, and which letters no font has."""

from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from PIL import ImageFont

from app.errors import StartupError

_FOLDERS = (
    Path.home() / ".local/share/fonts",
    Path.home() / ".fonts",
    Path.home() / "Library/Fonts",
    Path("/usr/local/share/fonts"),
    Path("/usr/share/fonts"),
    Path("/Library/Fonts"),
    Path("/System/Library/Fonts"),
    Path("C:/Windows/Fonts"),
)
_SUFFIXES = {".ttf", ".otf", ".ttc"}
_SIZE = 16  # pixels, in which glyphs are compared
# No font has a glyph for this code point, so every font draws its sign for a missing letter.
_NO_LETTER = "\U0010ffff"

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


class Choice(NamedTuple):
    """The font for some texts.

    Attributes:
        file: the font's file; None stands for the built-in font, which has the letters A to Z.
        missing: the letters that the font lacks; it draws boxes for them.
    """

    file: Path | None
    missing: str

    @property
    def warning(self) -> str:
        """A line that names the missing letters and the remedy; empty if no letter is missing."""
        if not self.missing:
            return ""
        some = self.missing[:10] + ("..." if len(self.missing) > 10 else "")
        return (
            f"pictures show boxes for the letters {some}, because no font here has them: "
            "name a font that does, as in --font NotoSansSC-Regular.otf"
        )


def choose(texts: Iterable[str], given: Path | None = None) -> Choice:
    """Return the font that has the most letters of `texts`; the built-in one if it has all.

    Args:
        texts: what will be drawn.
        given: a font that the user has named, which is taken in any case.

    Raises:
        StartupError: `given` is not a font.
    """
    letters = {
        letter for text in texts for letter in text if letter.isprintable() and letter != " "
    }
    if given:
        return Choice(given, _missing(load(given, _SIZE), letters))
    best = Choice(None, _missing(load(None, _SIZE), letters))
    if best.missing:
        for file in _files():
            try:
                found = Choice(file, _missing(load(file, _SIZE), letters))
            except StartupError:
                continue
            best = min(best, found, key=lambda choice: len(choice.missing))
            if not best.missing:
                break
    return best


def load(file: Path | None, size: int) -> _Font:
    """Return the font of a file, or the built-in one, in a size in pixels.

    Raises:
        StartupError: the file is not a font.
    """
    try:
        return ImageFont.truetype(file, size) if file else ImageFont.load_default(size)
    except OSError as error:
        raise StartupError(f"{file} is not a readable font file") from error


@cache
def _files() -> tuple[Path, ...]:
    return tuple(_found())


def _found() -> Iterator[Path]:
    # Matplotlib brings a font with the letters of Europe, the Near East and mathematics.
    if (matplotlib := find_spec("matplotlib")) and matplotlib.origin:
        yield Path(matplotlib.origin).with_name("mpl-data") / "fonts/ttf/DejaVuSans.ttf"
    for folder in _FOLDERS:
        yield from sorted(file for file in folder.rglob("*") if file.suffix.lower() in _SUFFIXES)


def _missing(font: _Font, letters: Iterable[str]) -> str:
    """Return the letters for which the font draws the same as for no letter at all."""
    box = _drawn(font, _NO_LETTER)
    return "".join(sorted(letter for letter in letters if _drawn(font, letter) == box))


def _drawn(font: _Font, letter: str) -> tuple[object, bytes]:
    mask = font.getmask(letter)
    return mask.size, bytes(mask)
