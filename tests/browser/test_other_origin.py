"""A web page of another origin, in a real browser: what it may send to the service and read."""

import os
import signal
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import Browser, Page
from running import RunningServer, until

pytest_plugins = ["chromium"]

KEY = "a-key-of-sixteen-letters"
# The page draws a photo, sends it, and returns what it can read of the answer.
SEND = """async (url) => {
    const photo = await new Promise(done => document.createElement("canvas").toBlob(done));
    const form = new FormData();
    form.append("file", photo, "photo.png");
    const headers = { Authorization: "Bearer a-key-of-sixteen-letters", "X-Deadline-Ms": "30000" };
    try {
        const answer = await fetch(url + "/predict", { method: "POST", headers, body: form });
        const read = name => answer.headers.get(name);
        return [answer.status, read("Server-Timing"), read("X-Request-ID"), read("Retry-After")];
    } catch (error) {
        return [String(error)];
    }
}"""


class Site(SimpleHTTPRequestHandler):
    """Serves a folder and prints nothing."""

    def log_message(self, *_: object) -> None:
        return None


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """Yield the origin of a page that is not the service's."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text("<!doctype html><title>Another page</title>")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Site, directory=folder)) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def page(browser: Browser, site: str) -> Iterator[Page]:
    page = browser.new_page()
    page.goto(site)
    yield page
    page.close()


def test_an_allowed_page_sends_a_photo(
    page: Page, site: str, small_bundle: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    settings = {"cors_origins": site, "api_keys": KEY, "workers": 1}
    with RunningServer(small_bundle, log, **settings) as server:
        status, timing, request_id, retry_after = page.evaluate(SEND, server.url)
    assert status == 200
    assert "inference;dur=" in timing
    assert request_id
    assert retry_after is None


def test_an_allowed_page_reads_a_refusal_at_the_door(
    page: Page, site: str, small_bundle: Path, tmp_path: Path
) -> None:
    settings = {"cors_origins": site, "api_keys": KEY, "longest_wait_s": 0.1, "batch_timeout_s": 60}
    log = tmp_path / "log"
    with RunningServer(small_bundle, log, workers=1, capacity=1, **settings) as server:
        (worker,) = server.workers()
        os.kill(worker, signal.SIGSTOP)
        page.evaluate(f"url => {{ window.first = ({SEND})(url) }}", server.url)
        until(lambda: server.health()["in_flight"] == 1)
        status, timing, request_id, retry_after = page.evaluate(SEND, server.url)
        assert (status, timing) == (429, None)
        assert request_id
        assert int(retry_after) >= 1
        os.kill(worker, signal.SIGCONT)
        assert page.evaluate("async () => window.first")[0] == 200


def test_a_strangers_page_gets_nothing(page: Page, small_bundle: Path, tmp_path: Path) -> None:
    with RunningServer(small_bundle, tmp_path / "log", workers=1) as server:
        assert page.evaluate(SEND, server.url) == ["TypeError: Failed to fetch"]
        plain = (
            "async (url) => fetch(url + '/predict', {method: 'POST', body: 'x', mode: 'no-cors'})"
        )
        page.evaluate(plain, server.url)
        # The first was a preflight; the second needed none.
        until(lambda: refused(server) == ["OPTIONS", "POST"])


def refused(server: RunningServer) -> list[str]:
    lines = [line for line in server.logged() if line.get("outcome") == "origin_not_allowed"]
    return [line["method"] for line in lines if line["status"] == 403]
