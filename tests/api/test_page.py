"""The page for browsers, as far as it can be tested without one: `tests/browser` does the rest."""

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.api.accept import prefers

pytest_plugins = ["app_fixtures"]

PAGE = Path(__file__).parents[2] / "app" / "api" / "page"
FILES = sorted(PAGE.iterdir())
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "is_page"),
    [
        (BROWSER, True),
        ("text/html", True),
        ("TEXT/HTML; charset=utf-8", True),
        ("text/*", True),
        ("application/json;q=0.5, text/html;q=0.6", True),
        ("text/html, application/json", False),
        ("application/json, text/html;q=0.9", False),
        ("text/html;q=0, */*", False),
        ("application/json", False),
        ("*/*", False),
        ("", False),
        ("text/html;q=nonsense,;,=", True),
    ],
)
def test_browsers_get_the_page_and_programs_get_json(
    client: TestClient, accept: str, is_page: bool
) -> None:
    assert prefers(accept, "text/html", "application/json") is is_page
    response = client.get("/", headers={"Accept": accept})
    kind = "text/html; charset=utf-8" if is_page else "application/json"
    assert (response.status_code, response.headers["content-type"]) == (200, kind)
    # A cache keeps both answers apart.
    assert response.headers["vary"] == "Accept"


def test_a_client_that_names_nothing_gets_json(client: TestClient) -> None:
    del client.headers["accept"]
    assert client.get("/").json()["docs"] == "/docs"


@pytest.mark.parametrize("path", ["/", *(f"/page/{file.name}" for file in FILES)])
def test_head_tells_what_get_would(client: TestClient, path: str) -> None:
    for accept in (BROWSER, "*/*"):
        get, head = (client.request(m, path, headers={"Accept": accept}) for m in ("GET", "HEAD"))
        assert head.status_code == 200
        for name in ("content-type", "content-length", "etag", "vary", "content-security-policy"):
            assert head.headers.get(name) == get.headers.get(name)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_is_sent_once_and_then_only_confirmed(client: TestClient, file: Path) -> None:
    path = f"/page/{file.name}"
    response = client.get(path)
    assert response.content == file.read_bytes()
    assert response.headers["cache-control"] == "no-cache"
    tag = response.headers["etag"]
    for condition in (tag, f"W/{tag}", f'"other", {tag}'):
        again = client.get(path, headers={"If-None-Match": condition})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_the_page_itself_is_confirmed_too(client: TestClient) -> None:
    tag = client.get("/", headers={"Accept": BROWSER}).headers["etag"]
    condition = {"Accept": BROWSER, "If-None-Match": tag}
    assert client.get("/", headers=condition).status_code == 304


def test_files_of_one_name_in_other_folders_are_not_served(client: TestClient) -> None:
    for name in ("none.js", "../schemas.py", "..%2fschemas.py", "%2e%2e/keys.py", ""):
        response = client.get(f"/page/{name}")
        assert response.status_code == 404
        assert response.json()["code"] == "not_found"


@pytest.mark.parametrize("path", ["/", *(f"/page/{file.name}" for file in FILES)])
def test_the_policy_allows_only_files_of_this_server(client: TestClient, path: str) -> None:
    headers = client.get(path, headers={"Accept": BROWSER}).headers
    policy = dict(
        rule.strip().split(" ", 1) for rule in headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["img-src"] == "'self' blob:"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


def test_the_page_has_nothing_inline() -> None:
    page = (PAGE / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page)
    assert re.findall(r"<script[^>]*>", page) == ['<script type="module" src="page/page.js">']


def test_every_file_is_used_and_every_used_file_is_there() -> None:
    texts = {file.name: file.read_text() for file in FILES if file.suffix != ".jpg"}
    # All addresses are relative, because a proxy may serve the page below any path.
    used = {name for text in texts.values() for name in re.findall(r'"(?:page|\.)/([\w.]+)"', text)}
    assert used | {"index.html"} == {file.name for file in FILES}
    sent = re.findall(r'data-sample="([\w.]+)"', texts["index.html"])
    assert len(sent) == 3
    assert set(sent) <= used
    assert not re.search(r'(?:src|href)="/|\burl\(|@import', "".join(texts.values()))


def test_health_tells_how_the_input_is_cut_out(client: TestClient) -> None:
    """The page draws the network's crop on the photo with these numbers."""
    given = client.get("/health").json()["input"]
    assert given == {"resize_short": 73, "resize": None, "crop": [64, 64]}
