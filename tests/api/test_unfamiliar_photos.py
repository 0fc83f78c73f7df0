"""Answers and metrics say what is unfamiliar, if the bundle can tell."""

import pytest
from fakes import FakePool
from fastapi.testclient import TestClient
from posting import png, post

pytest_plugins = ["app_fixtures"]

FIELDS = {"unfamiliar", "unfamiliarity"}


@pytest.mark.parametrize(("far", "unfamiliar"), [(0.75, True), (0.5, True), (0.25, False)])
def test_a_photo_is_called_unfamiliar_from_one_half_on(
    client: TestClient, pool: FakePool, far: float, unfamiliar: bool
) -> None:
    pool.unfamiliarity = far
    body = post(client, png(1)).json()
    assert (body["unfamiliar"], body["unfamiliarity"]) == (unfamiliar, far)
    # The classes are named all the same.
    assert body["predictions"][0]["class_id"] == 1
    lines = client.get("/metrics").text.splitlines()
    assert f"classifier_unfamiliar_photos_total {unfamiliar:.1f}" in lines
    assert f"classifier_unfamiliarity_ratio_sum {far}" in lines
    assert "classifier_unfamiliarity_ratio_count 1.0" in lines


def test_each_of_several_photos_has_its_own(client: TestClient, pool: FakePool) -> None:
    pool.unfamiliarity = 0.125
    files = [("files", ("a", png(1))), ("files", ("b", b"no photo"))]
    first, second = client.post("/predict", files=files).json()["results"]
    assert (first["unfamiliar"], first["unfamiliarity"]) == (False, 0.125)
    assert FIELDS.isdisjoint(second)


def test_a_bundle_that_cannot_tell_answers_without_it(client: TestClient) -> None:
    body = post(client, png(1)).json()
    assert list(body) == ["model", "predictions", "image", "timings_ms"]
    files = [("files", ("a", png(1))), ("files", ("b", png(2)))]
    for result in client.post("/predict", files=files).json()["results"]:
        assert list(result) == ["predictions", "image", "timings_ms"]
    lines = client.get("/metrics").text.splitlines()
    assert "classifier_unfamiliar_photos_total 0.0" in lines
    assert "classifier_unfamiliarity_ratio_count 0.0" in lines


def test_vectors_and_maps_come_without_it(client: TestClient, pool: FakePool) -> None:
    pool.unfamiliarity = 0.75
    for url in ("/embed", "/explain"):
        assert FIELDS.isdisjoint(post(client, png(1), url).json())


def test_the_contract_describes_it(client: TestClient) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    for name in ("Classification", "Result"):
        assert set(schemas[name]["properties"]) >= FIELDS
        assert FIELDS.isdisjoint(schemas[name].get("required", ()))
