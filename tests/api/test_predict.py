"""`POST /predict` on a fake pool: the answer's body and headers."""

import numpy as np
import pytest
from fastapi.testclient import TestClient
from posting import assert_problem, png, post

from app.model.bundle import Bundle

pytest_plugins = ["app_fixtures"]


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


def test_scores_are_rounded_but_never_above_one(bundle: Bundle) -> None:
    scores = np.array([0.1, 1.0000001, 0.25], np.float32)
    best = bundle.post_process.best(scores, 2)
    assert [(row.class_id, row.score) for row in best] == [(1, 1.0), (2, 0.25)]
