"""The HTTP surface, on a fake pool: every status, header and body that is documented."""

import asyncio
import gzip
import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FakePool
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from app import __version__
from app.errors import WorkerLost
from app.main import create_app
from app.model.bundle import Bundle, load_bundle
from app.settings import Settings

SETTINGS = Settings(
    capacity=4, longest_wait_s=3600, deadline_s=60, max_upload_bytes=200_000, max_pixels=1_000_000
)


def png(color: int = 1, size: tuple[int, int] = (80, 70)) -> bytes:
    """Draw a plain photo; the fake pool answers with class `color`."""
    file = io.BytesIO()
    Image.new("RGB", size, (color, color, color)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def bundle(small_bundle: Path) -> Bundle:
    return load_bundle(small_bundle)


@pytest.fixture
def pool() -> FakePool:
    return FakePool()


@pytest.fixture
def app(bundle: Bundle, pool: FakePool) -> FastAPI:
    return create_app(SETTINGS, bundle, lambda *_: pool)


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


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


def test_a_photo_is_answered_with_its_classes(client: TestClient, bundle: Bundle) -> None:
    response = post(client, png(2))
    body = response.json()
    assert response.status_code == 200
    assert body["model"] == {"name": bundle.name, "version": bundle.version}
    assert body["predictions"][0] == {"class_id": 2, "label": bundle.labels[2], "score": 1.0}
    assert len(body["predictions"]) == 3
    assert body["image"] == {"width": 80, "height": 70, "format": "PNG"}
    assert set(body["timings_ms"]) == {"decode", "queue", "inference", "total"}


def test_server_timing_says_what_the_body_says(client: TestClient) -> None:
    response = post(client, png())
    timings = dict(part.split(";dur=") for part in response.headers["server-timing"].split(", "))
    assert {stage: float(ms) for stage, ms in timings.items()} == response.json()["timings_ms"]


@pytest.mark.parametrize(("top_k", "count"), [(1, 1), (3, 3)])
def test_top_k_names_as_many(client: TestClient, top_k: int, count: int) -> None:
    assert len(post(client, png(), params={"top_k": top_k}).json()["predictions"]) == count


@pytest.mark.parametrize("top_k", ["0", "4", "-1", "many", "1.5"])
def test_top_k_out_of_bounds_is_refused(client: TestClient, top_k: str) -> None:
    response = post(client, png(), params={"top_k": top_k})
    assert_problem(response, 422, "invalid_request")
    assert response.json()["detail"].startswith(("query.top_k: ", "top_k must be"))


def test_a_sane_request_id_is_kept(client: TestClient) -> None:
    response = post(client, png(), headers={"X-Request-ID": "trace-1.a:b_c"})
    assert response.headers["x-request-id"] == "trace-1.a:b_c"


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "<script>", 'a"b'])
def test_an_odd_request_id_is_replaced(client: TestClient, given: str) -> None:
    response = client.get("/", headers={"X-Request-ID": given})
    assert response.headers["x-request-id"] not in {"", given}


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
        {"content": png()},
    ],
)
def test_a_missing_file_is_named(client: TestClient, kwargs: dict[str, Any]) -> None:
    assert_problem(client.post("/predict", **kwargs), 422, "missing_file")


def form(*parts: tuple[str, bytes]) -> bytes:
    """Write a form of boundary b: its parts' disposition and content."""
    head = b"--b\r\nContent-Disposition: form-data; "
    written = (head + name.encode() + b"\r\n\r\n" + content + b"\r\n" for name, content in parts)
    return b"".join(written) + b"--b--\r\n"


NAMED = 'name="file"; filename="a"'


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (form(('name="file"', b"photo.jpg")), "multipart/form-data; boundary=b", "file name"),
        (
            form(("name=\"file\"; filename*=UTF-8''k", png())),
            "multipart/form-data; boundary=b",
            "name",
        ),
        (form(('name="file"', bytes(150_000))), "multipart/form-data; boundary=b", "file name"),
        (png(), "image/png", "no multipart/form-data"),
    ],
)
def test_a_photo_that_came_otherwise_is_told_what_to_do(
    client: TestClient, body: bytes, kind: str, words: str
) -> None:
    response = client.post("/predict", content=body, headers={"Content-Type": kind})
    assert_problem(response, 422, "missing_file")
    assert words in response.json()["detail"]


def test_a_text_field_may_be_as_long_as_a_file(bundle: Bundle) -> None:
    """A photo without a file name; beyond a megabyte the form was called malformed."""
    app = create_app(Settings(), bundle, lambda *_: FakePool())
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    with TestClient(app) as client:
        body = form(('name="file"', bytes(2_000_000)))
        assert_problem(client.post("/predict", content=body, headers=headers), 422, "missing_file")


@pytest.mark.parametrize("other", [NAMED, 'name="file"'])
def test_two_photos_are_not_answered_as_if_they_were_one(client: TestClient, other: str) -> None:
    for parts in ((NAMED, png(1)), (other, png(2))), ((other, png(2)), (NAMED, png(1))):
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        response = client.post("/predict", content=form(*parts), headers=headers)
        assert_problem(response, 422, "invalid_request")
        assert "one photo" in response.json()["detail"]


@pytest.mark.parametrize(
    "kind", ["Multipart/Form-Data; Boundary=b", 'multipart/form-data; boundary="b"']
)
def test_the_forms_type_may_be_written_in_capitals(client: TestClient, kind: str) -> None:
    body = form((NAMED, png()))
    response = client.post("/predict", content=body, headers={"Content-Type": kind})
    assert response.status_code == 200


def test_a_compressed_body_is_called_that(client: TestClient) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b", "Content-Encoding": "gzip"}
    body = gzip.compress(form((NAMED, png())))
    response = client.post("/predict", content=body, headers=headers)
    assert_problem(response, 400, "malformed_body")
    assert "compressed" in response.json()["detail"]


@pytest.mark.parametrize("charset", ["utf-16", "undefined", "punycode", "idna", "zip", "no-such"])
@pytest.mark.parametrize("text", [b"x", b"x-" + b"z9" * 40_000])
def test_a_forms_charset_changes_nothing(client: TestClient, charset: str, text: bytes) -> None:
    """By punycode one megabyte of text stopped the event loop for half a minute."""
    kind = f"multipart/form-data; charset={charset}; boundary=b"
    body = form(('name="note"', text), (NAMED, png(2)))
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


def test_unknown_paths_and_methods_are_problems(client: TestClient) -> None:
    assert_problem(client.get("/nothing"), 404, "not_found")
    assert_problem(post(client, png(), url="/predict/"), 404, "not_found")  # and sent nowhere else
    response = client.get("/predict")
    assert_problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"


def test_a_full_house_gets_429_and_when_to_come_back(client: TestClient, app: FastAPI) -> None:
    app.state.service.admission.in_flight = SETTINGS.capacity
    response = post(client, png())
    assert_problem(response, 429, "overloaded")
    assert int(response.headers["retry-after"]) >= 1
    assert client.get("/health/ready").status_code == 200
    app.state.service.admission.in_flight = 0
    assert post(client, png()).status_code == 200


def test_uploads_of_too_many_bytes_together_get_429(client: TestClient, app: FastAPI) -> None:
    admission = app.state.service.admission
    admission.bytes_held = SETTINGS.capacity_bytes - 100
    assert_problem(post(client, png()), 429, "overloaded")
    admission.bytes_held = 0
    assert post(client, png()).status_code == 200
    assert admission.bytes_held == 0


@pytest.mark.anyio
async def test_whom_there_is_no_place_for_is_refused_before_the_upload(bundle: Bundle) -> None:
    pool = FakePool()
    pool.failing = True
    app = create_app(SETTINGS, bundle, lambda *_: pool)
    sent = await sent_to(app, [])  # nothing of the body ever comes
    assert (sent[0]["status"], b'"not_ready"' in sent[1]["body"]) == (503, True)


def test_a_late_answer_is_504(bundle: Bundle, pool: FakePool) -> None:
    pool.gate.clear()
    app = create_app(Settings(deadline_s=0.02), bundle, lambda *_: pool)
    with TestClient(app) as client:
        assert_problem(post(client, png()), 504, "deadline_exceeded")
        assert app.state.service.admission.in_flight == 0


def test_a_caller_may_wait_less(bundle: Bundle, pool: FakePool) -> None:
    pool.gate.clear()
    patient = create_app(Settings(deadline_s=600), bundle, lambda *_: pool)
    with TestClient(patient) as client:
        response = post(client, png(), headers={"X-Deadline-Ms": "20"})
        assert_problem(response, 504, "deadline_exceeded")


@pytest.mark.parametrize("given", ["soon", "0", "3600001", "9" * 310])
def test_a_time_to_wait_out_of_bounds_is_refused(client: TestClient, given: str) -> None:
    response = post(client, png(), headers={"X-Deadline-Ms": given})
    assert_problem(response, 422, "invalid_request")
    assert "x-deadline-ms" in response.json()["detail"]


def test_a_queue_longer_than_the_time_allowed_is_refused_at_once(
    client: TestClient, app: FastAPI, pool: FakePool
) -> None:
    pool.seconds = 100
    assert post(client, png()).status_code == 200
    app.state.service.admission.in_flight = 1
    response = post(client, png())
    assert_problem(response, 504, "deadline_unreachable")
    assert response.headers["retry-after"] == "100"
    app.state.service.admission.in_flight = 0


@pytest.mark.anyio
async def test_an_upload_that_does_not_end_is_given_up(bundle: Bundle) -> None:
    settings = Settings(upload_timeout_s=0.05)
    app = create_app(settings, bundle, lambda *_: FakePool())
    sent = await sent_to(app, [{"type": "http.request", "body": b"--b\r\n", "more_body": True}])
    assert sent[0]["status"] == 408
    assert b"upload_timeout" in sent[1]["body"]


def test_a_lost_worker_is_503(client: TestClient, pool: FakePool) -> None:
    pool.failures.append(WorkerLost())
    response = post(client, png())
    assert_problem(response, 503, "worker_lost")
    assert response.headers["retry-after"]
    assert post(client, png()).status_code == 200


def test_our_own_bug_is_500_in_our_own_words(client: TestClient, app: FastAPI) -> None:
    app.state.service.settings = None
    response = post(client, png())
    assert_problem(response, 500, "internal_error")
    assert "NoneType" not in response.text


def test_health_tells_the_model_and_the_workers(client: TestClient, bundle: Bundle) -> None:
    body = client.get("/health").json()
    assert body["status"] == "ready"
    assert body["model"]["version"] == bundle.version
    assert (body["classes"], body["workers_up"], body["in_flight"]) == (3, 1, 0)
    assert body["version"] == __version__


def test_without_a_worker_it_is_alive_but_not_ready(client: TestClient, pool: FakePool) -> None:
    pool.up = 0
    assert client.get("/health/ready").status_code == 503
    assert client.get("/health/ready").json() == {"status": "not_ready"}
    assert client.get("/health/live").status_code == 200
    pool.hopeless = True
    assert client.get("/health/live").status_code == 503


def test_while_draining_it_serves_but_is_not_ready(client: TestClient, app: FastAPI) -> None:
    app.state.service.draining = True
    assert client.get("/health/ready").json() == {"status": "draining"}
    assert client.get("/health/live").status_code == 200
    response = post(client, png())
    assert response.status_code == 200
    assert response.headers["connection"] == "close"


@pytest.mark.parametrize(
    "path",
    ["/predict", "/docs/a-b_c.d~e", "/%1B%5B31mred", "/a%0D%0Ab", "/%C2%9B31m", "/a%3Fb%20c"],
)
def test_a_path_is_logged_as_it_came(
    client: TestClient, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    """Unquoted, it would tell a terminal what to do."""
    with caplog.at_level("INFO", "app.access"):
        status = client.get(path).status_code
    (line,) = [record for record in caplog.records if record.name == "app.access"]
    assert (line.getMessage(), line.__dict__["path"]) == (f"GET {path} {status}", path)


def test_metrics_count_what_happened(client: TestClient, bundle: Bundle) -> None:
    post(client, png())
    post(client, b"")
    client.get("/nothing")
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    for line in (
        'classifier_http_requests_total{method="POST",route="/predict",status="200"} 1.0',
        'classifier_http_requests_total{method="POST",route="/predict",status="429"} 0.0',
        'classifier_http_requests_total{method="POST",route="/predict",status="503"} 0.0',
        'classifier_http_requests_total{method="GET",route="unmatched",status="404"} 1.0',
        'classifier_outcomes_total{reason="ok"} 1.0',
        'classifier_outcomes_total{reason="empty_file"} 1.0',
        'classifier_stage_duration_seconds_count{stage="decode"} 1.0',
        'classifier_stage_duration_seconds_count{stage="total"} 1.0',
        "classifier_batch_size_sum 1.0",
        "classifier_batch_padding_total 3.0",
        "classifier_top1_score_sum 1.0",
        "classifier_entropy_sum 0.0",
        "classifier_queue_depth 0.0",
        "classifier_in_flight_bytes 0.0",
        "classifier_capacity_bytes 1e+08",
        "classifier_in_flight 0.0",
        "classifier_capacity 4.0",
        "classifier_ready 1.0",
        'classifier_worker_restarts_total{reason="crash"} 0.0',
        f'classifier_model_info{{name="{bundle.name}",version="{bundle.version}"}} 1.0',
    ):
        assert line in response.text.splitlines()


def test_two_services_in_one_process_do_not_share_metrics(bundle: Bundle) -> None:
    apps = [create_app(SETTINGS, bundle, lambda *_: FakePool()) for _ in range(2)]
    with TestClient(apps[0]) as first, TestClient(apps[1]) as second:
        post(first, png())
        assert 'classifier_outcomes_total{reason="ok"} 0.0' in second.get("/metrics").text


def test_the_index_names_paths_that_exist(client: TestClient) -> None:
    index = client.get("/").json()
    for name in ("docs", "openapi", "health", "metrics"):
        assert client.get(index[name]).status_code == 200


def test_the_documentation_asks_no_other_host(client: TestClient) -> None:
    page = client.get("/docs").text
    assert "swagger-ui" in page
    assert "http://" not in page
    assert "https://" not in page


def test_openapi_documents_every_error_of_predict(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    responses = document["paths"]["/predict"]["post"]["responses"]
    assert set(responses) == {
        "200",
        "400",
        "401",
        "408",
        "413",
        "415",
        "422",
        "429",
        "500",
        "503",
        "504",
    }
    for status, response in responses.items():
        if status != "200":
            assert list(response["content"]) == ["application/problem+json"]
    assert "`too_many_pixels`" in responses["413"]["description"]


def test_openapi_makes_a_usable_client(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    names = {operation["operationId"] for operation in operations}
    assert names == {"predict", "health", "live", "ready", "metrics", "reload", "index"}
    problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
    contents = [r.get("content", {}) for o in operations for r in o["responses"].values()]
    kind = "application/problem+json"
    problems = [content[kind] for content in contents if kind in content]
    assert len(problems) > 10
    assert all(each == problem for each in problems)
    assert "code" in document["components"]["schemas"]["Problem"]["required"]
    top_k, deadline = (p["schema"] for p in document["paths"]["/predict"]["post"]["parameters"])
    assert (top_k["type"], top_k["minimum"]) == ("integer", 1)  # null cannot be sent
    assert (deadline["type"], deadline["minimum"], deadline["maximum"]) == ("integer", 1, 3_600_000)


@pytest.mark.anyio
async def test_a_caller_who_hangs_up_frees_the_place(bundle: Bundle) -> None:
    pool = FakePool()
    pool.gate.clear()
    app = create_app(SETTINGS, bundle, lambda *_: pool)
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    body = head + png() + b"\r\n--b--\r\n"
    sent = await sent_to(
        app,
        [
            {"type": "http.request", "body": body, "more_body": False},
            {"type": "http.disconnect"},
        ],
    )
    assert sent[0]["status"] == 499
    service = app.state.service
    assert service.admission.in_flight == 0
    assert service.metrics.registry.get_sample_value(
        "classifier_outcomes_total", {"reason": "client_closed"}
    )


async def sent_to(app: FastAPI, messages: list[Any]) -> list[Any]:
    """Let `app` receive these messages and then nothing more; return what it sends."""
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
        "headers": [(b"content-type", b"multipart/form-data; boundary=b")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "scheme": "http",
        "root_path": "",
        "http_version": "1.1",
    }
    async with app.router.lifespan_context(app):
        await app(scope, receive, send)
    return sent


def test_scores_are_rounded_but_never_above_one(bundle: Bundle) -> None:
    scores = np.array([0.1, 1.0000001, 0.25], np.float32)
    best = bundle.best(scores, 2)
    assert [(row.class_id, row.score) for row in best] == [(1, 1.0), (2, 0.25)]
