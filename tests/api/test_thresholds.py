"""Models that name classes by a threshold: answers, documentation, metrics and dialects."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from fakes import FakePool
from fastapi.testclient import TestClient
from posting import png, post
from speaking import ALL, in_base64

from app.main import create_app
from app.model.bundle import Bundle
from app.model.post_process import PostProcess
from app.settings import read_settings

pytest_plugins = ["app_fixtures"]

LABELS = ("cat", "dog", "daisy")
SEVERAL = PostProcess("MultiLabelThreshOutput", True, LABELS, threshold=0.5)
ONE = PostProcess("ThreshOutput", True, LABELS, threshold=0.5, default_class=1)

DAISY = {"class_id": 2, "label": "daisy", "score": 0.75, "threshold": 0.5}


@contextmanager
def serving(bundle: Bundle, post_process: PostProcess, score: float) -> Iterator[TestClient]:
    """Serve a model that gives class i of a photo of colour i this score, and others 0."""
    pool = FakePool()
    pool.score = score
    settings = read_settings(dialects=ALL, paddlex_image=True)
    changed = replace(bundle, post_process=post_process)
    with TestClient(create_app(settings, changed, lambda *_: pool)) as client:
        yield client


@pytest.fixture
def certain(bundle: Bundle) -> Iterator[TestClient]:
    with serving(bundle, SEVERAL, 0.75) as client:
        yield client


@pytest.fixture
def doubtful(bundle: Bundle) -> Iterator[TestClient]:
    """A model with no score above its threshold."""
    with serving(bundle, SEVERAL, 0.25) as client:
        yield client


def test_only_classes_above_their_threshold_are_named(certain: TestClient) -> None:
    assert post(certain, png(2)).json()["predictions"] == [DAISY]
    assert post(certain, png(2), params={"top_k": 3}).json()["predictions"] == [DAISY]
    assert post(certain, png(2), params={"min_score": 0.8}).json()["predictions"] == []


def test_no_class_may_be_named(doubtful: TestClient) -> None:
    answer = post(doubtful, png(2))
    assert answer.status_code == 200
    assert answer.json()["predictions"] == []
    files = [("files", png(color)) for color in (1, 2)]
    results = doubtful.post("/predict", files=files).json()["results"]
    assert [result["predictions"] for result in results] == [[], []]


def test_one_class_is_decided(bundle: Bundle) -> None:
    with serving(bundle, ONE, 0.75) as client:
        assert post(client, png(2)).json()["predictions"] == [DAISY]
    with serving(bundle, ONE, 0.25) as client:
        (dog,) = post(client, png(2)).json()["predictions"]
    assert dog == {"class_id": 1, "label": "dog", "score": 0.0, "threshold": 0.5}


def test_models_without_a_threshold_answer_as_ever(client: TestClient) -> None:
    predictions = post(client, png(2)).json()["predictions"]
    assert [set(each) for each in predictions] == [{"class_id", "label", "score"}] * 3


def test_the_documentation_fits(certain: TestClient, doubtful: TestClient) -> None:
    for client in (certain, doubtful):
        document = client.get("/openapi.json").json()
        operation = document["paths"]["/predict"]["post"]
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        resolved = {**schema, "components": document["components"]}
        jsonschema.validate(post(client, png(2)).json(), resolved)
        examples = operation["responses"]["200"]["content"]["application/json"]["examples"]
        for example in examples.values():
            jsonschema.validate(example["value"], resolved)
        # The small network is sure of one class of the golden picture.
        predictions = examples["one photo"]["value"]["predictions"]
        assert [each["class_id"] for each in predictions] == [2]
        (top_k,) = [each for each in operation["parameters"] if each["name"] == "top_k"]
        assert top_k["schema"]["maximum"] == 3
        assert "default" not in top_k["schema"]


def test_the_entropy_is_that_of_each_class(bundle: Bundle) -> None:
    for score, entropy in ((1.0, 0.0), (0.5, 1 / 3)):
        with serving(bundle, SEVERAL, score) as client:
            post(client, png(2))
            metrics = client.get("/metrics").text
        (line,) = [x for x in metrics.splitlines() if x.startswith("classifier_entropy_ratio_sum")]
        assert float(line.split()[1]) == pytest.approx(entropy, abs=1e-6)
        assert f"classifier_top1_score_ratio_sum {score}" in metrics.splitlines()


def ask_all(client: TestClient, name: str, photo: bytes) -> dict[str, Any]:
    """Return what each dialect answers to a photo."""
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [in_base64(photo)]}
    likeliest = {"name": "scores", "parameters": {"classification": 2}}
    oip = {"inputs": [tensor], "outputs": [likeliest]}
    answers = {
        "huggingface": client.post("/huggingface", content=photo),
        "oip": client.post(f"/v2/models/{name}/infer", json=oip),
        "paddlex": client.post("/image-classification", json={"image": in_base64(photo)}),
        "torchserve": client.post(f"/predictions/{name}", content=photo),
    }
    assert {answer.status_code for answer in answers.values()} == {200}
    return {dialect: answer.json() for dialect, answer in answers.items()}


def test_dialects_name_the_same_classes(certain: TestClient, bundle: Bundle) -> None:
    answers = ask_all(certain, bundle.name, png(2))
    assert answers["huggingface"] == [{"label": "daisy", "score": 0.75}]
    assert answers["torchserve"] == {"daisy": 0.75}
    categories = answers["paddlex"]["result"]["categories"]
    assert categories == [{"id": 2, "name": "daisy", "score": 0.75}]


def test_dialects_may_name_none(doubtful: TestClient, bundle: Bundle) -> None:
    answers = ask_all(doubtful, bundle.name, png(2))
    assert (answers["huggingface"], answers["torchserve"]) == ([], {})
    assert answers["paddlex"]["result"]["categories"] == []
    assert answers["paddlex"]["result"]["image"]


def test_tensors_keep_their_shape(doubtful: TestClient, bundle: Bundle) -> None:
    (tensor,) = ask_all(doubtful, bundle.name, png(2))["oip"]["outputs"]
    assert tensor["shape"] == [1, 2]
    assert tensor["data"] == ["0.250000:2:daisy", "0.000000:0:cat"]


def test_hugging_face_calls_the_function_sigmoid(certain: TestClient) -> None:
    for applied, status in (("sigmoid", 200), ("softmax", 422)):
        parameters = {"function_to_apply": applied}
        body = {"inputs": in_base64(png(2)), "parameters": parameters}
        assert certain.post("/huggingface", json=body).status_code == status
