"""`POST /explain` on a fake pool: the map as numbers or as a picture, and its errors."""

import pytest
from fakes import FakePool
from fastapi.testclient import TestClient
from posting import assert_problem, png, post

from app.errors import NotExplainable
from app.model.bundle import Bundle

pytest_plugins = ["app_fixtures"]

PNG = {"Accept": "image/png"}


def test_the_likeliest_class_is_explained(client: TestClient, bundle: Bundle) -> None:
    response = post(client, png(2), "/explain")
    body = response.json()
    assert response.status_code == 200
    assert set(body.pop("timings_ms")) == {"decode", "queue", "inference", "total"}
    assert response.headers["server-timing"].startswith("decode;dur=")
    assert body == {
        "model": {"name": bundle.name, "version": bundle.version},
        "class_id": 2,
        "label": bundle.labels[2],
        "score": 1.0,
        "map": [[2, 3, 4], [5, 6, 7]],
        "size": [2, 3],
        "bias": 0.5,
        "image": {"width": 80, "height": 70, "format": "PNG"},
    }


def test_any_class_is_explained(client: TestClient, bundle: Bundle) -> None:
    body = post(client, png(2), "/explain?class_index=0").json()
    assert (body["class_id"], body["label"], body["score"]) == (0, bundle.labels[0], 0.0)


@pytest.mark.parametrize("class_index", ["3", "-1", "cat", "1.5", "999999999999"])
def test_a_class_that_does_not_exist_is_refused(client: TestClient, class_index: str) -> None:
    response = post(client, png(), f"/explain?class_index={class_index}")
    assert_problem(response, 422, "invalid_request")
    assert "class_index" in response.json()["detail"]


@pytest.mark.parametrize(
    ("accept", "drawn"),
    [
        ("image/png", True),
        ("IMAGE/PNG, */*;q=0.5", True),
        ("text/html, image/png;q=0.9, application/json;q=0.5", True),
        ("application/json, image/png", False),
        ("*/*", False),
        ("image/webp", False),
        ("", False),
    ],
)
def test_accept_chooses_the_form(client: TestClient, accept: str, drawn: bool) -> None:
    response = post(client, png(), "/explain", headers={"Accept": accept})
    assert response.status_code == 200
    assert (response.headers["content-type"] == "image/png") == drawn
    assert (response.content == b"a picture") == drawn
    assert response.headers["server-timing"]


@pytest.mark.parametrize("headers", [{}, PNG])
def test_an_error_is_a_problem_whatever_is_accepted(
    client: TestClient, pool: FakePool, headers: dict[str, str]
) -> None:
    pool.failures.append(NotExplainable())
    assert_problem(post(client, png(), "/explain", headers=headers), 422, "not_explainable")
    assert_problem(post(client, b"no photo", "/explain", headers=headers), 415, "unsupported_image")
    assert post(client, png(), "/explain", headers=headers).status_code == 200


def test_it_takes_one_photo_alone(client: TestClient) -> None:
    response = client.post("/explain", files=[("files", png()), ("files", png())])
    assert_problem(response, 422, "invalid_request")


def test_parameters_of_other_paths_are_refused(client: TestClient) -> None:
    response = post(client, png(), "/explain?top_k=1")
    assert_problem(response, 422, "invalid_request")
    assert "it knows class_index" in response.json()["detail"]
    response = post(client, png(), "/explain?class_id=1")
    assert "did you mean class_index?" in response.json()["detail"]


def test_a_photo_may_be_the_body(client: TestClient) -> None:
    assert client.post("/explain", content=png(1)).json()["class_id"] == 1


def test_its_outcomes_are_counted(client: TestClient, pool: FakePool) -> None:
    pool.failures.append(NotExplainable())
    for _ in range(3):
        post(client, png(), "/explain")
    metrics = client.get("/metrics").text.splitlines()
    assert 'classifier_outcomes_total{reason="ok"} 2.0' in metrics
    assert 'classifier_outcomes_total{reason="not_explainable"} 1.0' in metrics
    labels = '{dialect="own",method="POST",route="/explain",status="200"}'
    assert f"classifier_http_requests_total{labels} 2.0" in metrics
