"""What holds for every dialect: its answers, its errors, the keys, the limits, the metrics."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from fakes import FakePool
from fastapi.testclient import TestClient
from posting import SETTINGS, png
from speaking import ALL, SPEAKERS, Speaker

from app.api.routes.direct import DirectRoute
from app.errors import StartupError
from app.main import create_app
from app.model.bundle import Bundle
from app.settings import Settings, read_settings

pytest_plugins = ["app_fixtures"]

KEY = "a-key-0123456789"

Serve = Callable[..., AbstractContextManager[TestClient]]


@pytest.fixture
def serve(bundle: Bundle) -> Serve:
    def serve(settings: Settings) -> TestClient:
        return TestClient(create_app(settings, bundle, lambda *_: FakePool()))

    return serve


@pytest.fixture(params=SPEAKERS, ids=str)
def speaker(request: pytest.FixtureRequest) -> Speaker:
    chosen: Speaker = request.param
    return chosen


@pytest.fixture
def client(serve: Serve) -> Iterator[TestClient]:
    known = {name: getattr(SETTINGS, name) for name in SETTINGS.model_fields_set}
    with serve(read_settings(**known, dialects=ALL)) as client:
        yield client


def assert_error(speaker: Speaker, response: object, status: int, words: str) -> None:
    """Check that a response is an error in the form of the dialect."""
    assert response.status_code == status, response.text  # type: ignore[attr-defined]
    assert response.headers["content-type"] == "application/json"  # type: ignore[attr-defined]
    error = response.json()  # type: ignore[attr-defined]
    assert tuple(error) == speaker.fields
    assert words in speaker.error(error)


def test_a_photo_is_answered(client: TestClient, bundle: Bundle, speaker: Speaker) -> None:
    for color in (0, 1, 2):
        response = speaker.send(client, bundle.name, png(color))
        assert response.status_code == 200, response.text
        assert speaker.best(response.json()) == bundle.label(color)
        assert response.headers["x-request-id"]


def test_without_the_setting_there_is_no_such_path(
    serve: Serve, bundle: Bundle, speaker: Speaker
) -> None:
    others = [name for name in ALL.split(",") if name != speaker.dialect]
    for dialects in ("", ",".join(others)):
        with serve(read_settings(dialects=dialects)) as client:
            assert speaker.send(client, bundle.name, png()).status_code == 404


def test_a_bad_photo_gets_an_error_in_the_dialects_form(
    client: TestClient, bundle: Bundle, speaker: Speaker
) -> None:
    for photo, status, words in (
        (b"no picture", 415, "not an image"),
        (png()[:60], 422, "damaged"),
        (png(size=(2000, 600)), 413, "pixels"),
        (b"", 422, ""),
    ):
        assert_error(speaker, speaker.send(client, bundle.name, photo), status, words)


def test_each_photo_has_its_limit(client: TestClient, bundle: Bundle, speaker: Speaker) -> None:
    large = b"\xff\xd8\xff" + b"x" * SETTINGS.max_upload_bytes
    assert_error(speaker, speaker.send(client, bundle.name, large), 413, "200,000")
    assert_error(speaker, speaker.send(client, bundle.name, large * 5), 413, "200,000")


def test_an_unknown_fault_has_the_dialects_form(
    client: TestClient, bundle: Bundle, speaker: Speaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client.app.state.service, "classify", None)  # type: ignore[attr-defined]
    assert_error(speaker, speaker.send(client, bundle.name, png()), 500, "The server failed")


def test_a_compressed_body_is_refused(client: TestClient, bundle: Bundle, speaker: Speaker) -> None:
    response = speaker.send(client, bundle.name, png(), Content_Encoding="gzip")
    assert_error(speaker, response, 400, "without Content-Encoding")


def test_a_deadline_holds(client: TestClient, bundle: Bundle, speaker: Speaker) -> None:
    response = speaker.send(client, bundle.name, png(), X_Deadline_Ms="many")
    assert_error(speaker, response, 422, "x-deadline-ms")
    service = client.app.state.service  # type: ignore[attr-defined]
    service.pool.gate.clear()
    response = speaker.send(client, bundle.name, png(), X_Deadline_Ms="100")
    service.pool.gate.set()
    assert_error(speaker, response, 504, "time allowed")
    assert (service.admission.in_flight, service.admission.bytes_held) == (0, 0)


def test_a_stranger_learns_nothing(serve: Serve, bundle: Bundle, speaker: Speaker) -> None:
    with serve(read_settings(dialects=ALL, api_keys=KEY)) as client:
        for model in (bundle.name, "unknown"):
            response = speaker.send(client, model, png(), Authorization="Bearer another-key-012345")
            assert_error(speaker, response, 401, "needs a valid key")
            assert response.headers["www-authenticate"] == "Bearer"
        response = speaker.send(client, bundle.name, png(), Authorization=f"Bearer {KEY}")
        assert response.status_code == 200


def test_a_full_service_refuses(serve: Serve, bundle: Bundle, speaker: Speaker) -> None:
    settings = read_settings(dialects=ALL, capacity=4, longest_wait_s=0.1)
    with serve(settings) as client:
        service = client.app.state.service  # type: ignore[attr-defined]
        service.admission.in_flight = 4
        response = speaker.send(client, bundle.name, png())
        service.admission.in_flight = 0
    assert_error(speaker, response, 429, "full")
    assert int(response.headers["retry-after"]) >= 1


def test_the_metrics_name_the_dialect(client: TestClient, bundle: Bundle, speaker: Speaker) -> None:
    speaker.send(client, bundle.name, png())
    speaker.send(client, bundle.name, b"no picture")
    lines = client.get("/metrics").text.splitlines()
    for status in (200, 415):
        labels = f'dialect="{speaker.dialect}",method="POST",route="'
        (line,) = [
            line for line in lines if labels in line and line.endswith(f'status="{status}"}} 1.0')
        ]
        assert line.startswith("classifier_http_requests_total{")
    assert 'classifier_outcomes_total{reason="ok"} 1.0' in lines
    assert 'classifier_outcomes_total{reason="unsupported_image"} 1.0' in lines


def test_another_method_is_refused_in_the_dialects_form(
    client: TestClient, bundle: Bundle, speaker: Speaker
) -> None:
    response = client.delete(speaker.path.format(model=bundle.name))
    assert_error(speaker, response, 405, "does not accept")


def test_swagger_stays_short(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert not [path for speaker in SPEAKERS for path in paths if path == speaker.path]


def test_only_known_dialects_may_be_chosen() -> None:
    with pytest.raises(StartupError, match=r"CLASSIFIER_DIALECTS: .*'oip'"):
        read_settings(dialects="oip,klingon")
    assert read_settings(dialects="oip torchserve").dialects == ("oip", "torchserve")


def test_own_routes_speak_no_dialect() -> None:
    assert DirectRoute.dialect == "own"
    assert "own" not in {speaker.dialect for speaker in SPEAKERS}
