"""The health summary and the two probes."""

from fakes import FakePool
from fastapi import FastAPI
from fastapi.testclient import TestClient
from posting import png, post

from app import __version__
from app.model.bundle import Bundle

pytest_plugins = ["app_fixtures"]


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
