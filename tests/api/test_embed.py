"""`POST /embed` on a fake pool: vectors of one and several photos, as JSON and as bytes."""

import numpy as np
import pytest
from fakes import FakePool
from fastapi.testclient import TestClient
from posting import assert_problem, png, post

from app.errors import NoFeatures
from app.model.bundle import Bundle

pytest_plugins = ["app_fixtures"]

RAW = {"Accept": "application/octet-stream"}
TWO = [("files", png(1)), ("files", png(2))]
ONE_BAD = [("files", png(1)), ("files", b"no photo")]


def test_a_photo_becomes_a_vector(client: TestClient, bundle: Bundle) -> None:
    response = post(client, png(2), "/embed")
    body = response.json()
    assert response.status_code == 200
    assert set(body.pop("timings_ms")) == {"decode", "queue", "inference", "total"}
    assert response.headers["server-timing"].startswith("decode;dur=")
    assert body == {
        "model": {"name": bundle.name, "version": bundle.version},
        "vector": [3, 4, 2],
        "image": {"width": 80, "height": 70, "format": "PNG"},
    }


def test_it_may_be_normalized(client: TestClient) -> None:
    vector = post(client, png(0), "/embed?normalize=true").json()["vector"]
    assert vector == pytest.approx([0.6, 0.8, 0])
    assert post(client, png(0), "/embed?normalize=false").json()["vector"] == [3, 4, 0]


@pytest.mark.parametrize("query", ["normalize=1", "normalize=", "normalise=true", "top_k=1"])
def test_other_parameters_are_refused(client: TestClient, query: str) -> None:
    assert_problem(post(client, png(), f"/embed?{query}"), 422, "invalid_request")


def test_bytes_are_little_endian_floats(client: TestClient) -> None:
    response = post(client, png(2), "/embed", headers=RAW)
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.content == np.array([3, 4, 2], "<f4").tobytes()
    assert response.headers["server-timing"]


def test_several_photos_have_a_result_each(client: TestClient) -> None:
    body = client.post("/embed", files=TWO).json()
    assert [result["vector"] for result in body["results"]] == [[3, 4, 1], [3, 4, 2]]
    good, bad = client.post("/embed", files=ONE_BAD).json()["results"]
    assert good["vector"] == [3, 4, 1]
    assert set(bad) == {"error"}
    assert bad["error"]["code"] == "unsupported_image"


def test_bytes_of_several_photos_follow_each_other(client: TestClient) -> None:
    response = client.post("/embed?normalize=true", files=TWO, headers=RAW)
    vectors = np.frombuffer(response.content, "<f4").reshape(2, 3)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1])
    assert vectors[1] / vectors[1, 0] * 3 == pytest.approx([3, 4, 2])
    # Bytes have no room for an error.
    response = client.post("/embed", files=ONE_BAD, headers=RAW)
    assert_problem(response, 415, "unsupported_image")


def test_a_network_without_vectors_says_so(client: TestClient, pool: FakePool) -> None:
    pool.failures.append(NoFeatures())
    assert_problem(post(client, png(), "/embed"), 422, "no_features")
    pool.failures.extend([NoFeatures(), NoFeatures()])
    assert_problem(client.post("/embed", files=TWO), 422, "no_features")


def test_health_tells_the_length(client: TestClient) -> None:
    assert client.get("/health").json()["vector_length"] == 1280
