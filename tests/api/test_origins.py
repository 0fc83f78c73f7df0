"""Web pages of other origins: which may send photos, what they may read, what is refused unread."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from fakes import FakePool
from fastapi.testclient import TestClient
from posting import assert_problem, png, post, sent_to

from app.main import create_app
from app.model.bundle import Bundle
from app.settings import read_settings

pytest_plugins = ["app_fixtures"]

FRIEND, STRANGER = "https://photos.example", "https://elsewhere.example"
KEY = "a-key-0123456789"

Serve = Callable[..., AbstractContextManager[TestClient]]


@pytest.fixture
def serve(bundle: Bundle) -> Serve:
    def serve(**settings: str) -> TestClient:
        return TestClient(create_app(read_settings(**settings), bundle, lambda *_: FakePool()))

    return serve


@pytest.fixture
def client(serve: Serve) -> Iterator[TestClient]:
    with serve(cors_origins=f"{FRIEND}, http://localhost:3000", api_keys=KEY) as client:
        client.headers["Authorization"] = f"Bearer {KEY}"
        yield client


def preflight(client: TestClient, origin: str) -> dict[str, str]:
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,x-deadline-ms",
    }
    response = client.options("/predict", headers={"Origin": origin, "Authorization": ""} | asked)
    return {"status": str(response.status_code), **response.headers}


@pytest.mark.parametrize("origin", [FRIEND, "http://localhost:3000"])
def test_an_allowed_page_sends_a_photo_and_reads_the_headers(
    client: TestClient, origin: str
) -> None:
    response = post(client, png(), headers={"Origin": origin, "Sec-Fetch-Site": "cross-site"})
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == origin
    exposed = response.headers["access-control-expose-headers"]
    assert set(exposed.split(", ")) == {"X-Request-ID", "Server-Timing", "Retry-After"}
    assert response.headers["vary"] == "Origin"


def test_an_allowed_page_reads_errors_too(client: TestClient) -> None:
    response = post(client, b"no photo", headers={"Origin": FRIEND})
    assert_problem(response, 415, "unsupported_image")
    assert response.headers["access-control-allow-origin"] == FRIEND
    response = post(client, png(), headers={"Origin": FRIEND, "Authorization": ""})
    assert_problem(response, 401, "unauthorized")
    assert response.headers["access-control-allow-origin"] == FRIEND


def test_a_preflight_needs_no_key(client: TestClient) -> None:
    answer = preflight(client, FRIEND)
    assert answer["status"] == "204"
    assert answer["access-control-allow-origin"] == FRIEND
    assert answer["access-control-allow-headers"] == "authorization,x-deadline-ms"
    assert "POST" in answer["access-control-allow-methods"]
    assert int(answer["access-control-max-age"]) > 0
    assert answer["x-request-id"]


def test_the_preflight_of_a_stranger_is_refused(client: TestClient) -> None:
    answer = preflight(client, STRANGER)
    assert answer["status"] == "403"
    assert "access-control-allow-origin" not in answer


@pytest.mark.parametrize("origin", [STRANGER, "null", FRIEND + ":8443", "http://photos.example"])
@pytest.mark.parametrize("path", ["/predict", "/models/reload"])
def test_a_strangers_page_is_refused(client: TestClient, origin: str, path: str) -> None:
    response = post(client, png(), path, headers={"Origin": origin})
    assert_problem(response, 403, "origin_not_allowed")
    assert "access-control-allow-origin" not in response.headers
    assert client.get("/health", headers={"Origin": origin}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://testserver"}, 200),
        ({"Origin": "http://testserver:81"}, 403),
        ({"Origin": STRANGER}, 403),
        # The proxy in front of the service has changed Host, but browsers tell the truth.
        ({"Origin": STRANGER, "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "http://testserver", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "http://testserver", "Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_by_default_only_the_services_own_page_is_answered(
    serve: Serve, headers: dict[str, str], status: int
) -> None:
    with serve() as client:
        response = post(client, png(), headers=headers)
        assert response.status_code == status
        assert "access-control-allow-origin" not in response.headers
        assert "vary" not in response.headers


def test_all_pages_may_be_allowed(serve: Serve) -> None:
    with serve(cors_origins="*") as client:
        assert preflight(client, STRANGER)["access-control-allow-origin"] == "*"
        response = post(client, png(), headers={"Origin": "null"})
        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] == "*"


@pytest.mark.anyio
@pytest.mark.parametrize("origin", ["http://[::1", "//", "https://a]", "null"])
async def test_an_odd_origin_is_refused_as_well(bundle: Bundle, origin: str) -> None:
    app = create_app(read_settings(), bundle, lambda *_: FakePool())
    sent = await sent_to(app, [], (b"host", b"test"), (b"origin", origin.encode()))
    assert (sent[0]["status"], b'"origin_not_allowed"' in sent[1]["body"]) == (403, True)


@pytest.mark.anyio
async def test_a_strangers_photo_is_not_read(bundle: Bundle) -> None:
    app = create_app(read_settings(), bundle, lambda *_: FakePool())
    # The client sends nothing of the body.
    sent = await sent_to(app, [], (b"origin", STRANGER.encode()))
    assert (sent[0]["status"], b'"origin_not_allowed"' in sent[1]["body"]) == (403, True)
