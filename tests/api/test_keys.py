"""Keys: a request without a key gets 401 at once and no permit, and no output shows any key."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from fakes import FakePool
from fastapi.testclient import TestClient
from posting import assert_problem, png, post, sent_to
from running import RunningServer, until

from app.main import create_app
from app.model.bundle import Bundle
from app.settings import read_settings

pytest_plugins = ["app_fixtures"]

OLD, NEW, ADMIN = "the-old-key-0123456789", "the-new-key-0123456789", "the-admins-key-0123456789"
STRANGERS = "the-strangers-key-0123456789"

Serve = Callable[..., AbstractContextManager[TestClient]]

PHOTO_PATHS = ("/predict", "/explain", "/embed")


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def serve(bundle: Bundle) -> Serve:
    def serve(**settings: str | int) -> TestClient:
        return TestClient(create_app(read_settings(**settings), bundle, lambda *_: FakePool()))

    return serve


@pytest.fixture
def client(serve: Serve) -> Iterator[TestClient]:
    with serve(api_keys=f"{NEW},{OLD}", admin_key=ADMIN, capacity=4) as client:
        yield client


def assert_refused(response: Any) -> None:  # noqa: ANN401
    assert_problem(response, 401, "unauthorized")
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("key", [NEW, OLD])
@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_each_of_the_keys_lets_in(client: TestClient, key: str, scheme: str) -> None:
    assert post(client, png(), headers={"Authorization": f"{scheme} {key}"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": NEW},
        {"Authorization": f"Basic {NEW}"},
        {"Authorization": b"Bearer \xff\xe9"},
        {"X-API-Key": NEW},
        *map(bearer, (STRANGERS, ADMIN, NEW[:-1], f"{NEW}0", NEW.upper(), f"{NEW},{OLD}", ",")),
    ],
)
def test_nothing_else_does(client: TestClient, headers: dict[str, Any]) -> None:
    assert_refused(post(client, png(), headers=headers))


def test_a_key_is_compared_byte_by_byte(serve: Serve) -> None:
    key = "schlüssel-0123456789"
    with serve(api_keys=key) as client:
        headers: dict[str, Any] = {"Authorization": f"Bearer {key}".encode()}
        assert post(client, png(), headers=headers).status_code == 200


@pytest.mark.parametrize("value", ["", " ", ","])
def test_an_empty_value_is_none(serve: Serve, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("CLASSIFIER_API_KEYS", value)
    with serve() as client:
        assert post(client, png()).status_code == 200
        assert post(client, png(), headers=bearer(STRANGERS)).status_code == 200


def test_a_key_is_changed_without_refusing_anyone(serve: Serve) -> None:
    for keys, known, strange in (
        (OLD, [OLD], NEW),
        ((NEW, OLD), [OLD, NEW], ""),
        (NEW, [NEW], OLD),
    ):
        with serve(api_keys=keys) as client:
            for key in known:
                assert post(client, png(), headers=bearer(key)).status_code == 200
            assert_refused(post(client, png(), headers=bearer(strange)))


@pytest.mark.anyio
async def test_a_stranger_is_refused_before_the_upload(bundle: Bundle) -> None:
    app = create_app(read_settings(api_keys=NEW), bundle, lambda *_: FakePool())
    # The client sends nothing of the body.
    sent = await sent_to(app, [])
    assert (sent[0]["status"], b'"unauthorized"' in sent[1]["body"]) == (401, True)


@pytest.mark.parametrize("path", PHOTO_PATHS)
def test_every_path_for_photos_needs_a_key(client: TestClient, path: str) -> None:
    assert_refused(post(client, png(), path))
    assert post(client, png(), path, headers=bearer(NEW)).status_code == 200


def test_strangers_take_nobodys_place(client: TestClient) -> None:
    service: Any = client.app.state.service  # type: ignore[attr-defined]
    service.admission.in_flight = 4
    for _ in range(50):
        assert_refused(post(client, png(), headers=bearer(STRANGERS)))
    assert_problem(post(client, png(), headers=bearer(NEW)), 429, "overloaded")
    service.admission.in_flight = 0
    for _ in range(50):
        assert_refused(post(client, png()))
    assert (service.admission.in_flight, service.admission.bytes_held) == (0, 0)
    assert post(client, png(), headers=bearer(NEW)).status_code == 200
    metrics = client.get("/metrics").text.splitlines()
    assert 'classifier_outcomes_total{reason="unauthorized"} 100.0' in metrics
    assert 'classifier_outcomes_total{reason="ok"} 1.0' in metrics


def test_the_metrics_count_by_key_and_do_not_show_it(client: TestClient) -> None:
    for key in (NEW, NEW, STRANGERS):
        post(client, png(), headers=bearer(key))
    metrics = client.get("/metrics").text
    name = hashlib.sha256(NEW.encode()).hexdigest()[:8]
    lines = [one for one in metrics.splitlines() if one.startswith("classifier_key_requests_")]
    assert lines == [f'classifier_key_requests_total{{key="{name}"}} 2.0']
    assert NEW not in metrics


def test_a_stranger_learns_nothing_more(client: TestClient) -> None:
    assert_refused(client.post("/predict", params={"top_k": "many"}))
    assert_refused(client.post("/predict", headers={"Content-Length": "999999999"}))


@pytest.mark.parametrize(
    "path", ["/", "/health", "/health/live", "/health/ready", "/metrics", "/docs", "/openapi.json"]
)
def test_the_rest_stays_open(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 200


def test_the_apis_keys_do_not_change_the_model(client: TestClient) -> None:
    assert_refused(client.post("/models/reload", headers=bearer(NEW)))


@pytest.mark.slow
def test_no_key_is_seen_anywhere(small_bundle: Path, tmp_path: Path) -> None:
    """This holds for wrong keys as well, because a wrong key may be right for another service."""
    settings = {"api_keys": f"{NEW} {OLD}", "admin_key": ADMIN, "log_level": "debug"}
    with RunningServer(small_bundle, tmp_path / "log", workers=1, **settings) as server:
        answers = [
            server.client.post(path, headers=bearer(key), files={"file": photo}).text
            for path in ("/predict", "/models/reload")
            for key in (NEW, OLD, ADMIN, STRANGERS)
            for photo in (png(), b"")
        ]
        answers += [
            server.client.get(path).text for path in ("/", "/health", "/metrics", "/openapi.json")
        ]
        assert 'classifier_outcomes_total{reason="unauthorized"} 4.0' in answers[-2]
        server.process.terminate()
        until(lambda: server.process.poll() is not None)
        outcomes = [line["outcome"] for line in server.logged() if line.get("path") == "/predict"]
    assert outcomes.count("unauthorized") == 4
    for text in (*answers, server.log.read_text()):
        assert not [key for key in (NEW, OLD, ADMIN, STRANGERS) if key in text]
