"""The font for a label is found by its letters, or the user is told what to name."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from letters import make_font
from PIL import Image

from app.errors import StartupError
from app.images import fonts
from app.images.captions import captioned


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The only folder of fonts on this machine."""
    monkeypatch.setattr(fonts, "_FOLDERS", (tmp_path / "fonts",))
    fonts._files.cache_clear()
    yield tmp_path / "fonts"
    fonts._files.cache_clear()


@pytest.mark.usefixtures("folder")
def test_the_built_in_font_serves_plain_names() -> None:
    assert fonts.choose(["cat", "tiger-cat (2)"]) == (None, "")


@pytest.mark.usefixtures("folder")
def test_umlauts_and_cyrillic_need_no_font_of_the_machine() -> None:
    """Matplotlib brings a font with them."""
    choice = fonts.choose(["Gänseblümchen", "кошка"])
    assert choice.file
    assert (choice.missing, choice.warning) == ("", "")


def test_a_font_of_the_machine_is_found_by_its_letters(folder: Path) -> None:
    make_font(folder / "a" / "latin.ttf", "abc")
    right = make_font(folder / "b" / "chinese.TTF", "猫犬")
    (folder / "b" / "broken.otf").write_bytes(b"no font")
    assert fonts.choose(["猫", "犬"]) == (right, "")


@pytest.mark.usefixtures("folder")
def test_letters_that_no_font_has_are_named_with_the_remedy() -> None:
    choice = fonts.choose(["猫", "cat"])
    assert choice.missing == "猫"
    assert "猫" in choice.warning
    assert "--font" in choice.warning


def test_a_named_font_is_taken(tmp_path: Path) -> None:
    font = make_font(tmp_path / "mine.ttf", "猫")
    assert fonts.choose(["猫"], font) == (font, "")
    assert fonts.choose(["猫犬"], font) == (font, "犬")
    with pytest.raises(StartupError, match="is not a readable font file"):
        fonts.choose(["cat"], tmp_path / "none.ttf")


def test_the_letters_are_drawn(tmp_path: Path) -> None:
    font = make_font(tmp_path / "mine.ttf", "猫犬")
    blank = Image.new("RGB", (200, 200))
    cat, dog, missing = (
        np.asarray(captioned(blank, [text], font)).tobytes() for text in ("猫", "犬", "鳥")
    )
    assert len({cat, dog, missing}) == 3
