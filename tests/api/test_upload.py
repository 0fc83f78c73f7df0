"""The upload: each malformed form and each bad file gets its own error."""

import gzip
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fakes import FakePool
from fastapi.testclient import TestClient
from posting import FILE_FIELD, assert_problem, form, png, post, sent_to

from app.main import create_app
from app.model.bundle import Bundle
from app.settings import Settings

pytest_plugins = ["app_fixtures"]


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"", 422, "empty_file"),
        (b"%PDF-1.7", 415, "unsupported_image"),
        (b"plain text", 415, "unsupported_image"),
        (png()[:60], 422, "broken_image"),
        (png(size=(1001, 1000)), 413, "too_many_pixels"),
        (b"\xff\xd8\xff" + b"x" * 250_000, 413, "file_too_large"),
        (b"\xff\xd8\xff" + b"x" * 2_000_000, 413, "file_too_large"),
    ],
)
def test_a_bad_upload_gets_its_own_code(
    client: TestClient, data: bytes, status: int, code: str
) -> None:
    assert_problem(post(client, data), status, code)
    assert post(client, png()).status_code == 200


def test_a_body_of_unknown_length_is_cut_off_too(client: TestClient) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    read = 0

    def body() -> Iterator[bytes]:
        nonlocal read
        yield head
        for _ in range(1000):
            read += 1
            yield b"x" * 10_000

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert_problem(client.post("/predict", content=body(), headers=headers), 413, "file_too_large")


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"files": {"photo": ("photo", png())}},
        {"data": {"file": "text"}},
        {"json": {"file": "text"}},
    ],
)
def test_a_missing_file_is_named(client: TestClient, kwargs: dict[str, Any]) -> None:
    assert_problem(client.post("/predict", **kwargs), 422, "missing_file")


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (form(('name="file"', b"photo.jpg")), "multipart/form-data; boundary=b", "file name"),
        (
            form(("name=\"file\"; filename*=UTF-8''k", b"text")),
            "multipart/form-data; boundary=b",
            "name",
        ),
        (form(('name="photo"; filename="f"', png())), "multipart/form-data; boundary=b", "'photo'"),
        (form(('name="file"', bytes(150_000))), "multipart/form-data; boundary=b", "file name"),
        (b"text", "text/plain", "has no photo"),
        (b"{}", "application/json", "'images'"),
    ],
)
def test_a_photo_that_came_otherwise_is_told_what_to_do(
    client: TestClient, body: bytes, kind: str, words: str
) -> None:
    response = client.post("/predict", content=body, headers={"Content-Type": kind})
    assert_problem(response, 422, "missing_file")
    assert words in response.json()["detail"]


def test_a_text_field_may_be_as_long_as_a_file(bundle: Bundle) -> None:
    """A photo without a file name is a text field; once, above 1 MB, the answer was a 400."""
    app = create_app(Settings(), bundle, lambda *_: FakePool())
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    with TestClient(app) as client:
        body = form(('name="file"', bytes(2_000_000)))
        assert_problem(client.post("/predict", content=body, headers=headers), 422, "missing_file")


@pytest.mark.parametrize("other", [FILE_FIELD, 'name="file"'])
def test_two_photos_are_not_answered_as_if_they_were_one(client: TestClient, other: str) -> None:
    for parts in ((FILE_FIELD, png(1)), (other, png(2))), ((other, png(2)), (FILE_FIELD, png(1))):
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        response = client.post("/predict", content=form(*parts), headers=headers)
        assert_problem(response, 422, "invalid_request")
        assert "'files'" in response.json()["detail"]


@pytest.mark.parametrize(
    "kind", ["Multipart/Form-Data; Boundary=b", 'multipart/form-data; boundary="b"']
)
def test_the_forms_type_may_be_written_in_capitals(client: TestClient, kind: str) -> None:
    body = form((FILE_FIELD, png()))
    response = client.post("/predict", content=body, headers={"Content-Type": kind})
    assert response.status_code == 200


def test_a_compressed_body_is_called_that(client: TestClient) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b", "Content-Encoding": "gzip"}
    body = gzip.compress(form((FILE_FIELD, png())))
    response = client.post("/predict", content=body, headers=headers)
    assert_problem(response, 400, "malformed_body")
    assert "compressed" in response.json()["detail"]


@pytest.mark.parametrize("charset", ["utf-16", "undefined", "punycode", "idna", "zip", "no-such"])
@pytest.mark.parametrize("text", [b"x", b"x-" + b"z9" * 40_000])
def test_a_forms_charset_changes_nothing(client: TestClient, charset: str, text: bytes) -> None:
    """With punycode, one megabyte of text once stopped the event loop for half a minute."""
    kind = f"multipart/form-data; charset={charset}; boundary=b"
    body = form(('name="note"', text), (FILE_FIELD, png(2)))
    started = time.process_time()
    response = client.post("/predict", content=body, headers={"Content-Type": kind})
    assert response.status_code == 200, response.text
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=other"])
def test_a_form_that_is_none_is_refused(client: TestClient, kind: str) -> None:
    response = client.post("/predict", content=b"--b\r\nnonsense", headers={"Content-Type": kind})
    assert response.status_code in {400, 422}
    assert_problem(
        response,
        response.status_code,
        {400: "malformed_body", 422: "missing_file"}[response.status_code],
    )


@pytest.mark.anyio
async def test_an_upload_that_does_not_end_is_given_up(bundle: Bundle) -> None:
    settings = Settings(upload_timeout_s=0.05)
    app = create_app(settings, bundle, lambda *_: FakePool())
    sent = await sent_to(app, [{"type": "http.request", "body": b"--b\r\n", "more_body": True}])
    assert sent[0]["status"] == 408
    assert b"upload_timeout" in sent[1]["body"]
