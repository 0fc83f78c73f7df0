"""Forms with a preamble, padding and an epilogue, which RFC 2046 allows, cut at every place."""

from collections.abc import Callable

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from posting import FILE_FIELD, assert_problem, form, png, sent_to

pytest_plugins = ["app_fixtures"]

HEADERS = {"Content-Type": "multipart/form-data; boundary=b"}
PLAIN = form((FILE_FIELD, png(2)))


def padded(data: bytes) -> bytes:
    return data.replace(b"--b\r\n", b"--b \t \r\n")


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "an empty line before": lambda data: b"\r\n" + data,
    "a preamble": lambda data: b"This is a form.\r\n" + data,
    "a preamble with hyphens": lambda data: b"-- --b --bb\r\n--bb\r\n\r\n--\r\n" + data,
    "padding": padded,
    "a preamble and padding": lambda data: b"\r\n\r\n--b-\r\n" + padded(data),
    "padding at the end": lambda data: data[:-2] + b" \t\r\n",
    "an epilogue": lambda data: data + b"That was a form.\r\n--b\r\n",
    "no line end": lambda data: data[:-2],
}


@pytest.mark.parametrize("name", FORMS)
def test_a_form_is_read_as_rfc_2046_says(client: TestClient, name: str) -> None:
    body = FORMS[name](form(('name="note"', b"x"), (FILE_FIELD, png(2))))
    response = client.post("/predict", content=body, headers=HEADERS)
    assert response.status_code == 200, response.text
    assert response.json()["predictions"][0]["class_id"] == 2


@pytest.mark.anyio
@pytest.mark.parametrize("size", [1, 7])
@pytest.mark.parametrize("name", FORMS)
async def test_the_pieces_of_a_form_change_nothing(app: FastAPI, name: str, size: int) -> None:
    body = FORMS[name](PLAIN)
    messages = [
        {"type": "http.request", "body": body[i : i + size], "more_body": i + size < len(body)}
        for i in range(0, len(body), size)
    ]
    sent = await sent_to(app, messages)
    assert sent[0]["status"] == 200, sent


@pytest.mark.parametrize("body", [b"text", b"--bb\r\n\r\n", b"x--b\r\n", b"\n--b\n"])
def test_a_body_without_its_boundary_is_no_form(client: TestClient, body: bytes) -> None:
    response = client.post("/predict", content=body, headers=HEADERS)
    assert_problem(response, 400, "malformed_body")
    assert "the boundary that the Content-Type names" in response.json()["detail"]
