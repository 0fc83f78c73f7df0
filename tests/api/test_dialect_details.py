"""What is particular to TorchServe, PaddleX and Hugging Face."""

import base64
import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fakes import FakePool
from fastapi.testclient import TestClient
from PIL import Image
from posting import form, png
from speaking import ALL, in_base64

from app.main import create_app
from app.model.bundle import Bundle
from app.settings import read_settings

pytest_plugins = ["app_fixtures"]

FORM = {"Content-Type": "multipart/form-data; boundary=b"}


@pytest.fixture
def client(bundle: Bundle, pool: FakePool) -> Iterator[TestClient]:
    with TestClient(create_app(read_settings(dialects=ALL), bundle, lambda *_: pool)) as client:
        yield client


def test_torchserve_takes_a_form_and_put(client: TestClient, bundle: Bundle) -> None:
    path = f"/predictions/{bundle.name}"
    body = form(('name="data"; filename="a"', png(2)))
    for answer in (
        client.post(path, content=body, headers=FORM),
        client.put(path, content=png(2)),
        client.put(f"{path}/{bundle.version}", content=png(2)),
    ):
        assert next(iter(answer.json())) == bundle.label(2)
        scores = list(answer.json().values())
        assert scores == sorted(scores, reverse=True)
        assert len(scores) == 3
    answer = client.post(path, content=form(('name="file"', png())), headers=FORM)
    assert answer.json()["type"] == "missing_file"


def test_torchserve_knows_one_model_and_one_version(client: TestClient, bundle: Bundle) -> None:
    for path, words in (("other", "'other'"), (f"{bundle.name}/1.0", "'1.0'")):
        answer = client.post(f"/predictions/{path}", content=png())
        assert (answer.status_code, answer.json()["code"]) == (404, 404)
        assert words in answer.json()["message"]


def test_torchserve_pings(client: TestClient) -> None:
    assert client.get("/ping").json() == {"status": "Healthy"}
    client.app.state.service.draining = True  # type: ignore[attr-defined]
    answer = client.get("/ping")
    assert (answer.status_code, answer.json()) == (503, {"status": "Unhealthy"})


def test_the_likelier_of_two_classes_with_one_label_counts(bundle: Bundle, pool: FakePool) -> None:
    labels = ("crane", "other", "crane")
    twins = replace(bundle, post_process=replace(bundle.post_process, labels=labels))
    app = create_app(read_settings(dialects=ALL), twins, lambda *_: pool)
    with TestClient(app) as client:
        for color in (0, 2):
            answer = client.post(f"/predictions/{bundle.name}", content=png(color)).json()
            assert answer == {"crane": 1.0, "other": 0.0}


@pytest.mark.parametrize(
    ("wish", "count"),
    [
        ({}, 3),
        ({"topk": 2}, 2),
        ({"topk": 9}, 3),
        ({"topk": None}, 3),
        ({"inferenceParams": {"topK": 1}}, 1),
    ],
)
def test_paddlex_knows_both_forms_of_top_k(
    client: TestClient, bundle: Bundle, wish: dict[str, Any], count: int
) -> None:
    answer = client.post("/image-classification", json={"image": in_base64(png(1)), **wish})
    body = answer.json()
    assert (body["errorCode"], body["errorMsg"]) == (0, "Success")
    assert body["logId"] == answer.headers["x-request-id"]
    categories = body["result"]["categories"]
    assert categories[0] == {"id": 1, "name": bundle.label(1), "score": 1.0}
    assert len(categories) == count


def test_paddlex_gets_a_picture_where_the_setting_says_so(bundle: Bundle, pool: FakePool) -> None:
    wish = {"image": in_base64(png(200))}
    settings = read_settings(dialects=ALL, paddlex_image=True)
    with TestClient(create_app(settings, bundle, lambda *_: pool)) as client:
        drawn = client.post("/image-classification", json=wish).json()["result"]["image"]
        plain = client.post("/image-classification", json={**wish, "visualize": False}).json()
        own = client.post("/predict", json=wish)
    assert plain["result"]["image"] is None
    assert set(own.json()) == {"model", "predictions", "image", "timings_ms"}
    with Image.open(io.BytesIO(base64.b64decode(drawn)), formats=["JPEG"]) as picture:
        grey = np.asarray(picture.convert("L"))
    # The photo is plain, and the dark band with the white caption lies at its bottom.
    assert abs(int(grey[len(grey) // 2, grey.shape[1] // 2]) - 200) < 5
    assert grey[-1].max() < 100
    assert grey[-40:].max() > 230


def test_without_the_setting_there_is_no_picture(client: TestClient) -> None:
    answer = client.post("/image-classification", json={"image": in_base64(png())})
    assert answer.json()["result"]["image"] is None


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"image": "https://example.com/cat.jpg"}, 422, "fetches no URLs"),
        ({"image": 5}, 422, "base64"),
        ({}, 422, "no 'image'"),
        ({"image": "", "topk": 0}, 422, "'topk'"),
        ({"image": "", "topk": True}, 422, "'topk'"),
        ({"image": "", "inferenceParams": {"topK": "x"}}, 422, "'inferenceParams.topK'"),
        ({"image": "", "inferenceParams": [5]}, 422, "'inferenceParams'"),
        ([], 422, "no 'image'"),
    ],
)
def test_what_paddlex_refuses(client: TestClient, body: Any, status: int, words: str) -> None:  # noqa: ANN401
    answer = client.post("/image-classification", json=body)
    error = answer.json()
    assert (answer.status_code, error["errorCode"]) == (status, status)
    assert words in error["errorMsg"]
    assert error["logId"] == answer.headers["x-request-id"]


def test_hugging_face_takes_json_as_well(client: TestClient, bundle: Bundle) -> None:
    parameters = {"top_k": 2, "function_to_apply": "softmax"}
    body = {"inputs": in_base64(png(2)), "parameters": parameters}
    answer = client.post("/huggingface", json=body).json()
    assert answer[0] == {"label": bundle.label(2), "score": 1.0}
    assert len(answer) == 2
    for kind in ("image/png", "application/octet-stream", "application/x-www-form-urlencoded"):
        headers = {"Content-Type": kind}
        answer = client.post("/huggingface", content=png(1), headers=headers).json()
        assert answer[0]["label"] == bundle.label(1)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"inputs": "https://example.com/cat.jpg"}, "fetches no URLs"),
        ({"inputs": "", "parameters": {"top_k": 0}}, "'top_k'"),
        ({"inputs": "", "parameters": {"function_to_apply": "none"}}, "softmax"),
        ({"inputs": "", "parameters": [1]}, "'parameters'"),
        ({}, "no 'inputs'"),
    ],
)
def test_what_hugging_face_refuses(client: TestClient, body: Any, words: str) -> None:  # noqa: ANN401
    answer = client.post("/huggingface", json=body)
    assert answer.status_code == 422
    assert words in answer.json()["error"]
