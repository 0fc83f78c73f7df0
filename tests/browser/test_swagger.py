"""Swagger UI in a real browser, offline: a person uploads a photo and reads the answer.

`make browser` runs these tests. SCREENSHOT and SCREENSHOT_KEY name files that keep the page as the
person sees it when the answer has come.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import skimage
from playwright.sync_api import Browser, Locator, Page, expect
from running import RunningServer

pytest_plugins = ["chromium"]

CAT = Path(skimage.__file__).parent / "data" / "chelsea.png"


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1200, "height": 1800})
    yield page
    page.close()


def upload(page: Page) -> Locator:
    """Send the photo of a cat in Swagger UI; return the block of the page for `/predict`."""
    predict = page.locator(".opblock", has_text="/predict").first
    predict.locator(".opblock-summary-control").click()
    predict.get_by_role("button", name="Try it out").click()
    predict.locator("input[type=file]").set_input_files(CAT)
    predict.get_by_role("button", name="Execute").click()
    return predict


def test_a_photo_is_uploaded_and_answered(page: Page, default_bundle: Path, tmp_path: Path) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    with RunningServer(default_bundle, tmp_path / "log", workers=1) as server:
        page.goto(f"{server.url}/docs")
        predict = upload(page)
        # The service asks for no key.
        expect(page.locator(".auth-wrapper .authorize")).to_have_count(0)
        answer = predict.locator(".live-responses-table")
        expect(answer).to_contain_text("tiger cat")
        expect(answer).to_contain_text("200")
        page.screenshot(path=os.environ.get("SCREENSHOT", tmp_path / "swagger.png"))
        examples = predict.locator(".response details")
        assert examples.count() >= 10
        assert not examples.locator("pre:visible").count()
        busy = predict.locator(".response", has_text="Too Many Requests")
        busy.locator("summary").click()
        expect(busy.locator("pre")).to_contain_text("overloaded")
        expect(busy).to_contain_text("Seconds until a retry can succeed")
        # The photo's answer and the documented one fit on the screen together.
        shown = predict.locator(".responses-table").last.bounding_box()
        assert shown
        assert shown["height"] < 2500
        assert [url for url in asked if not url.startswith((server.url, "data:", "blob:"))] == []


def test_a_key_is_given_once_and_sent(page: Page, small_bundle: Path, tmp_path: Path) -> None:
    key = "a-key-of-sixteen-letters"
    with RunningServer(small_bundle, tmp_path / "log", workers=1, api_keys=key) as server:
        page.goto(f"{server.url}/docs")
        predict = upload(page)
        answer = predict.locator(".live-responses-table")
        expect(answer).to_contain_text("unauthorized")
        page.locator(".auth-wrapper .authorize").first.click()
        form = page.locator(".auth-container", has_text="ApiKey")
        form.locator("input").fill(key)
        form.get_by_role("button", name="Apply credentials").click()
        page.locator(".auth-container").get_by_role("button", name="Close").first.click()
        predict.get_by_role("button", name="Execute").click()
        expect(answer).to_contain_text("predictions")
        page.screenshot(path=os.environ.get("SCREENSHOT_KEY", tmp_path / "key.png"))
