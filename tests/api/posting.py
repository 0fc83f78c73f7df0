"""What tests of the API share: photos, forms, requests, and the check of a problem."""

import asyncio
import io
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from app.settings import Settings

SETTINGS = Settings(
    capacity=4, longest_wait_s=3600, deadline_s=60, max_upload_bytes=200_000, max_pixels=1_000_000
)

# The disposition of a form's field with a photo.
FILE_FIELD = 'name="file"; filename="a"'


def png(color: int = 1, size: tuple[int, int] = (80, 70)) -> bytes:
    """Return a plain photo as a PNG file; the fake pool answers with class `color`."""
    file = io.BytesIO()
    Image.new("RGB", size, (color, color, color)).save(file, "PNG")
    return file.getvalue()


def form(*parts: tuple[str, bytes]) -> bytes:
    """Return a form with the boundary `b`; each part is a disposition and a content."""
    head = b"--b\r\nContent-Disposition: form-data; "
    written = (head + name.encode() + b"\r\n\r\n" + content + b"\r\n" for name, content in parts)
    return b"".join(written) + b"--b--\r\n"


def post(client: TestClient, data: bytes, url: str = "/predict", **kwargs: Any) -> Any:  # noqa: ANN401
    return client.post(url, files={"file": ("photo", data)}, **kwargs)


def assert_problem(response: Any, status: int, code: str) -> None:  # noqa: ANN401
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == status
    assert body["code"] == code
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == response.headers["x-request-id"]


async def sent_to(
    app: FastAPI,
    messages: list[Any],
    *headers: tuple[bytes, bytes],
    gone: asyncio.Future[None] | None = None,
) -> list[Any]:
    """Send `messages` and then nothing more to `app`, and return the messages that `app` sends.

    The client leaves when `gone` is done.
    """
    sent: list[Any] = []

    async def receive() -> Any:  # noqa: ANN401
        return messages.pop(0) if messages else await asyncio.Event().wait()

    async def send(message: Any) -> None:  # noqa: ANN401
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/predict",
        "raw_path": b"/predict",
        "query_string": b"",
        "headers": [(b"content-type", b"multipart/form-data; boundary=b"), *headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "scheme": "http",
        "root_path": "",
        "http_version": "1.1",
        "state": {"gone": gone},
    }
    async with app.router.lifespan_context(app):
        await app(scope, receive, send)
    return sent
