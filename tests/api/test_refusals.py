"""Photos without an answer: a full server, a deadline, a lost worker, a client that has left."""

import asyncio
import math
from typing import Any

import pytest
from fakes import FakePool
from fastapi import FastAPI
from fastapi.testclient import TestClient
from posting import SETTINGS, assert_problem, png, post, sent_to

from app.errors import InvalidRequest, WorkerLost
from app.main import create_app
from app.model.bundle import Bundle
from app.serving.patience import Patience
from app.settings import Settings

pytest_plugins = ["app_fixtures"]


def test_a_full_house_gets_429_and_when_to_come_back(bundle: Bundle, pool: FakePool) -> None:
    app = create_app(Settings(capacity=4, longest_wait_s=0.05), bundle, lambda *_: pool)
    with TestClient(app) as client:
        app.state.service.admission.in_flight = 4
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
    # The client sends nothing of the body.
    sent = await sent_to(app, [])
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


def test_a_lost_worker_is_503(client: TestClient, pool: FakePool) -> None:
    pool.failures.append(WorkerLost())
    response = post(client, png())
    assert_problem(response, 503, "worker_lost")
    assert response.headers["retry-after"]
    assert post(client, png()).status_code == 200


@pytest.mark.anyio
async def test_a_caller_who_hangs_up_frees_the_place(bundle: Bundle) -> None:
    pool = FakePool()
    pool.gate.clear()
    app = create_app(SETTINGS, bundle, lambda *_: pool)
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    body = head + png() + b"\r\n--b--\r\n"
    loop = asyncio.get_running_loop()
    gone: asyncio.Future[None] = loop.create_future()
    loop.call_later(0.1, gone.set_result, None)
    whole = [{"type": "http.request", "body": body, "more_body": False}]
    sent = await sent_to(app, whole, gone=gone)
    assert sent[0]["status"] == 499
    service = app.state.service
    assert service.admission.in_flight == 0
    assert service.metrics.registry.get_sample_value(
        "classifier_outcomes_total", {"reason": "client_closed"}
    )


@pytest.mark.anyio
async def test_a_caller_may_hang_up_in_the_moment_of_the_answer(bundle: Bundle) -> None:
    app = create_app(SETTINGS, bundle, lambda *_: FakePool())
    loop = asyncio.get_running_loop()
    failures: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: failures.append(context))
    async with app.router.lifespan_context(app):
        gone: asyncio.Future[None] = loop.create_future()
        gone.set_result(None)
        with pytest.raises(InvalidRequest):
            await app.state.service.classify(png(), 99, Patience(math.inf, gone))
        # The event loop now tells the service that the caller has left.
        await asyncio.sleep(0)
    assert not failures
