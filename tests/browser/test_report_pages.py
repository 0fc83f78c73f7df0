"""The page of an evaluation in a real browser: on a phone and on a desk, by day and by night."""

from pathlib import Path

import numpy as np
import pytest
from drawn import COLOURS, draw_classes
from PIL.Image import Resampling
from playwright.sync_api import Browser, Page, expect

from app.images.preprocessing import Pixels, Preprocessing
from app.training.data.dataset import read_dataset
from app.training.evaluation.accuracy import Scored
from app.training.report.charts import Line, curves
from app.training.report.looks import Looks
from app.training.report.markup import section, tag, tiles, write_page
from app.training.report.sections import accuracy_tiles, judged_sections

pytest_plugins = ["chromium"]

PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
LONG = "a_class_that_is_called_by_a_rather_long_name"


class Answers:
    """Answers of which a third are wrong."""

    def __init__(self, photos: Path) -> None:
        data = read_dataset(photos)
        self.names, self.samples = (*data.classes[:-1], LONG), data.samples
        truth = np.array([sample.class_id for sample in data.samples])
        rng = np.random.default_rng(0)
        logits = 2 * np.eye(3)[truth] + rng.normal(0, 1, (len(truth), 3))
        scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        self.result = Scored(scores.astype(np.float32), truth)


def heat(pixels: Pixels, class_id: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return a map that is warm in one corner."""
    assert pixels.shape == (64, 64, 3)
    values = np.zeros((4, 4), np.float32)
    values[0, class_id] = 1
    return values


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    draw_classes(folder / "photos", dict.fromkeys(COLOURS, 12))
    answers = Answers(folder / "photos")
    spec = Preprocessing(73, None, (64, 64), Resampling.BILINEAR, True, 1, (0, 0, 0), (1, 1, 1))
    loss = Line("held out", "blue", [(epoch, 1 / epoch) for epoch in range(1, 31)])
    chart = curves("loss", [loss], 30, [10.5])
    write_page(
        folder / "report.html",
        "A page",
        tiles(accuracy_tiles(answers)),
        section("Learning", "By epoch.", tag("div", chart, class_="charts")),
        judged_sections(answers, Looks(10**6, spec, heat)),
        section("The command to repeat it", "", tag("pre", "evaluate " + 30 * "/a/long/path")),
    )
    return folder / "report.html"


def opened(browser: Browser, file: Path, size: dict[str, int], scheme: str) -> Page:
    context = browser.new_context(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    # Pictures lie in the page itself: nothing else is fetched.
    assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]
    return page


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_nothing_is_wider_than_the_screen(
    browser: Browser, file: Path, size: dict[str, int]
) -> None:
    page = opened(browser, file, size, "light")
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    tall = page.locator("figure svg")
    assert tall.count() == 2
    for i in range(2):
        box = tall.nth(i).bounding_box()
        assert box
        assert 250 < box["width"] < 500
    assert page.evaluate("[...document.images].every((i) => i.complete && i.naturalWidth > 0)")


def test_a_table_opens(browser: Browser, file: Path) -> None:
    page = opened(browser, file, PHONE, "light")
    cell = page.get_by_role("columnheader", name="mean score")
    expect(cell).not_to_be_visible()
    page.get_by_text("The points as a table").click()
    expect(cell).to_be_visible()


def test_day_and_night(browser: Browser, file: Path) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    grounds = [opened(browser, file, DESK, scheme).evaluate(colour) for scheme in ("light", "dark")]
    assert grounds == ["rgb(246, 247, 251)", "rgb(18, 21, 28)"]
