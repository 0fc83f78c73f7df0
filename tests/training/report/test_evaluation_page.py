"""The page of an evaluation says what the numbers say, and needs nothing but itself."""

import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from commands import Run
from html_pages import Page
from letters import make_font
from networks import colour_network, small_card

from app.images import fonts
from app.training.network.export import export
from app.training.report.markup import tag

PICTURES = ("confusion.png", "mistakes.png")
ODD = "<b>&\"green'.png"


pytest_plugins = ["colour_fixtures"]


@pytest.fixture(scope="module")
def bundle(colour_bundle: Path) -> Path:
    return colour_bundle


@pytest.fixture
def photos(colour_photos: Path) -> Path:
    (colour_photos / "cat" / "green.png").rename(colour_photos / "cat" / ODD)
    return colour_photos


def test_the_page_says_what_the_numbers_say(
    run: Run, bundle: Path, photos: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    (photos / "dog" / "broken.png").write_bytes(b"no photo")
    ended = run("evaluate", bundle, photos, "--output", output)
    assert ended.code == 0, ended.err
    assert f"page: {output / 'report.html'}" in ended.err
    page = Page(output / "report.html")
    assert page.tables["Classes"] == [
        ["class", "right", "recall", "precision"],
        ["cat", "4 of 5", "80.0%", "100.0%"],
        ["dog", "2 of 2", "100.0%", "66.7%"],
        ["Gänseblümchen", "3 of 3", "100.0%", "100.0%"],
    ]
    assert page.tables["Worst pairs"] == [
        ["class", "taken for", "photos"],
        ["cat", "dog", "1 of 5"],
    ]
    assert ODD in page.texts["Mistakes"]
    assert "said: dog 0." in page.texts["Mistakes"]
    whole = json.loads((output / "evaluation.json").read_text("utf-8"))
    points = page.tables["Calibration"][1:]
    filled = [photos for photos in whole["reliability"]["photos"] if photos]
    assert [int(row[1]) for row in points] == filled
    # The drawing has the number of photos beside each point.
    assert [int(text) for text in page.drawn["Calibration"] if "%" not in text] == filled
    assert "broken.png: The file is not an image" in page.texts["Skipped"]
    tiles = page.texts["Evaluation of small"]
    assert "90.0%9 of 10 photos; 95 % interval 59.6% to 98.2%" in tiles
    assert "93.3%each class counts the same" in tiles
    repeat = page.texts["The command to repeat it"].strip()
    assert shlex.split(repeat)[3:] == [
        "evaluate", str(bundle), str(photos), "--output", str(output),
    ]  # fmt: skip


def test_a_network_that_is_never_right_has_a_page(
    run: Run, bundle: Path, photos: Path, tmp_path: Path
) -> None:
    dogs = tmp_path / "dogs" / "cat"
    shutil.copytree(photos / "dog", dogs)
    ended = run("evaluate", bundle, dogs.parent, "--output", tmp_path / "out")
    assert ended.code == 0, ended.err
    page = Page(tmp_path / "out" / "report.html")
    assert "No answer was right." in page.texts["Where it looked"]


def test_the_page_needs_nothing_but_itself(
    run: Run, bundle: Path, photos: Path, tmp_path: Path
) -> None:
    run("evaluate", bundle, photos, "--output", tmp_path / "out")
    page = Page(tmp_path / "out" / "report.html")
    # The mistake, and eight of the right answers: each photo and where the network looked.
    assert len(page.sources) == 18
    assert all(source.startswith("data:image/webp;base64,") for source in page.sources)
    assert (tmp_path / "out" / "report.html").stat().st_size < 200_000


def test_letters_that_no_font_has(
    run: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command and the page name the letters; the page itself has them, for the browser."""
    monkeypatch.setattr(fonts, "_files", tuple)
    export(colour_network(), replace(small_card(), labels=("猫", "犬", "花")), tmp_path / "bundle")
    for chinese, name in {"猫": "cat", "犬": "dog", "花": "Gänseblümchen"}.items():
        (photos / name).rename(photos / chinese)
    words = ("evaluate", tmp_path / "bundle", photos, "--output", tmp_path / "out")
    ended = run(*words)
    warning = "boxes for the letters 犬猫花, because no font here has them"
    assert warning in ended.err
    assert "--font" in ended.err
    page = Page(tmp_path / "out" / "report.html")
    assert warning in page.texts["Evaluation of small"]
    assert [row[0] for row in page.tables["Classes"][1:]] == ["猫", "犬", "花"]
    boxes = [(tmp_path / "out" / name).read_bytes() for name in PICTURES]

    font = make_font(tmp_path / "chinese.ttf", "猫犬花")
    ended = run(*words, "--font", font)
    assert ended.code == 0, ended.err
    assert "no font" not in ended.err
    drawn = [(tmp_path / "out" / name).read_bytes() for name in PICTURES]
    assert all(one != other for one, other in zip(boxes, drawn, strict=True))


def test_a_network_without_maps_is_said_to_have_none(
    run: Run, photos: Path, tmp_path: Path
) -> None:
    """A network that ends in something else than pooling and one layer has no exact maps."""
    from paddle import nn  # noqa: PLC0415  (the import takes seconds)

    network = nn.Sequential(colour_network(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
    export(network, small_card(), tmp_path / "deep")
    ended = run("evaluate", tmp_path / "deep", photos, "--output", tmp_path / "out")
    assert ended.code == 0, ended.err
    page = Page(tmp_path / "out" / "report.html")
    assert "no map would be exact" in page.texts["Where it looked"]


def test_text_is_escaped_and_markup_is_not() -> None:
    inner = tag("b", 'a < b & "c"')
    assert inner == "<b>a &lt; b &amp; &quot;c&quot;</b>"
    assert tag("p", inner, title='"') == f'<p title="&quot;">{inner}</p>'
