"""The Open Inference Protocol: its metadata, its tensors as JSON and as binary data, its errors."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from fakes import FakePool
from fastapi.testclient import TestClient
from posting import png
from speaking import as_tensor, classes, in_base64

from app import __version__
from app.main import create_app
from app.model.bundle import Bundle
from app.settings import read_settings

pytest_plugins = ["app_fixtures"]

LENGTH = "Inference-Header-Content-Length"


@pytest.fixture
def client(bundle: Bundle, pool: FakePool) -> Iterator[TestClient]:
    with TestClient(create_app(read_settings(dialects="oip"), bundle, lambda *_: pool)) as client:
        yield client


def tensor(*photos: bytes, **fields: object) -> dict[str, object]:
    data = [in_base64(photo) for photo in photos]
    return {"name": "image", "datatype": "BYTES", "shape": [len(data)], "data": data, **fields}


def infer(client: TestClient, bundle: Bundle, **fields: object) -> Any:  # noqa: ANN401
    return client.post(f"/v2/models/{bundle.name}/infer", json=fields)


def infer_binary(
    client: TestClient, bundle: Bundle, photos: Sequence[bytes], **fields: object
) -> Any:  # noqa: ANN401
    headers, body = as_tensor(*photos, **fields)
    return client.post(f"/v2/models/{bundle.name}/infer", content=body, headers=headers)


def test_the_metadata(client: TestClient, bundle: Bundle) -> None:
    server = client.get("/v2").json()
    assert server["version"] == __version__
    assert set(server["extensions"]) == {"classification", "binary_tensor_data"}
    for path in (
        f"/v2/models/{bundle.name}",
        f"/v2/models/{bundle.name}/versions/{bundle.version}",
    ):
        model = client.get(path).json()
        assert (model["name"], model["versions"]) == (bundle.name, [bundle.version])
        assert model["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [-1]}]
        assert model["outputs"] == [{"name": "scores", "datatype": "FP32", "shape": [-1, 3]}]
        assert client.get(path + "/ready").json() == {"name": bundle.name, "ready": True}


def test_health(client: TestClient, bundle: Bundle, pool: FakePool) -> None:
    ready = ("/v2/health/ready", f"/v2/models/{bundle.name}/ready")
    assert [client.get(path).status_code for path in (*ready, "/v2/health/live")] == [200] * 3
    client.app.state.service.draining = True  # type: ignore[attr-defined]
    assert [client.get(path).status_code for path in ready] == [503, 503]
    assert client.get("/v2/health/live").json() == {"live": True}
    pool.hopeless = True
    assert client.get("/v2/health/live").status_code == 503


def test_unknown_models_versions_and_paths(client: TestClient, bundle: Bundle) -> None:
    for path, words in (
        ("/v2/models/other", "'other'"),
        ("/v2/models/other/ready", "'other'"),
        (f"/v2/models/{bundle.name}/versions/1", "'1'"),
        (f"/v2/models/{bundle.name}/config", "nothing at this path"),
    ):
        answer = client.get(path)
        assert (answer.status_code, list(answer.json())) == (404, ["error"])
        assert words in answer.json()["error"]
    answer = client.post("/v2/models/other/infer", json={"inputs": [tensor(png())]})
    assert (answer.status_code, list(answer.json())) == (404, ["error"])


@pytest.mark.parametrize("binary", [False, True])
def test_scores_of_several_photos(client: TestClient, bundle: Bundle, binary: bool) -> None:
    photos = [png(2), png(0)]
    if binary:
        answer = infer_binary(client, bundle, photos, id="mine")
    else:
        answer = infer(client, bundle, inputs=[tensor(*photos)], id="mine")
    body = answer.json()
    assert (body["id"], body["model_name"]) == ("mine", bundle.name)
    assert body["model_version"] == bundle.version
    scores = [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]
    shape = [2, 3]
    assert body["outputs"] == [
        {"name": "scores", "datatype": "FP32", "shape": shape, "data": scores}
    ]


@pytest.mark.parametrize(
    "wish",
    [
        {"parameters": {"binary_data_output": True}},
        {"outputs": [{"name": "scores", "parameters": {"binary_data": True}}]},
    ],
)
def test_scores_as_binary_data(client: TestClient, bundle: Bundle, wish: dict[str, Any]) -> None:
    answer = infer(client, bundle, inputs=[tensor(png(1), png(2))], **wish)
    end = int(answer.headers[LENGTH])
    (output,) = json.loads(answer.content[:end])["outputs"]
    assert output["parameters"] == {"binary_data_size": 24}
    scores = np.frombuffer(answer.content[end:], "<f4").reshape(output["shape"])
    assert scores.argmax(axis=1).tolist() == [1, 2]


def test_classification(client: TestClient, bundle: Bundle) -> None:
    expected = f"1.000000:2:{bundle.label(2)}".encode()
    answer = infer(client, bundle, inputs=[tensor(png(2))], outputs=classes(2))
    (output,) = answer.json()["outputs"]
    assert (output["datatype"], output["shape"]) == ("BYTES", [1, 2])
    assert output["data"][0] == expected.decode()
    answer = infer(client, bundle, inputs=[tensor(png(2))], outputs=classes(99, binary_data=True))
    end = int(answer.headers[LENGTH])
    (output,) = json.loads(answer.content[:end])["outputs"]
    assert output["shape"] == [1, 3]
    data = answer.content[end:]
    assert output["parameters"] == {"binary_data_size": len(data)}
    assert data[: 4 + len(expected)] == len(expected).to_bytes(4, "little") + expected


def test_a_column_of_photos(client: TestClient, bundle: Bundle) -> None:
    rows = [[in_base64(png(2))], [in_base64(png(1))]]
    for data in (rows, [row[0] for row in rows]):
        answer = infer(client, bundle, inputs=[tensor(shape=[2, 1], data=data)], outputs=classes(1))
        assert [text.split(":")[1] for text in answer.json()["outputs"][0]["data"]] == ["2", "1"]


def test_a_bad_photo_fails_the_request_and_is_named(client: TestClient, bundle: Bundle) -> None:
    answer = infer_binary(client, bundle, [png(2), b"text", png()[:60]])
    assert answer.status_code == 415
    assert answer.json()["error"].startswith("Photo 2 of 3: The file is not an image")


PHOTO = in_base64(png())


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "exactly one input"),
        ({"inputs": []}, "exactly one input"),
        ({"inputs": {"name": "image"}}, "exactly one input"),
        ({"inputs": [tensor(png(), name="x")]}, "exactly one input"),
        ({"inputs": [tensor(png()), tensor(png())]}, "exactly one input"),
        ({"inputs": [tensor(png(), datatype="FP32")]}, "no raw pixels"),
        ({"inputs": [tensor(png(), shape=[2])]}, "says 2 photos, but the data are 1"),
        ({"inputs": [tensor(png(), shape=[0])]}, "the shape [N]"),
        ({"inputs": [tensor(png(), shape=[33])]}, "N from 1 to 32"),
        ({"inputs": [tensor(png(), shape=[1, 2])]}, "the shape [N]"),
        ({"inputs": [tensor(png(), shape=["1"])]}, "the shape [N]"),
        ({"inputs": [tensor(shape=[1])]}, "neither 'data' nor binary data"),
        ({"inputs": [tensor(png(), parameters=[1])]}, "'parameters'"),
        ({"inputs": [tensor(png(), parameters={"binary_data_size": 9})]}, "9 bytes"),
        ({"inputs": [tensor(png(), parameters={"binary_data_size": -9})]}, "from 0 on"),
        ({"inputs": [tensor(data=["http://x/y"], shape=[1])]}, "fetches no URLs"),
        ({"inputs": [tensor(png())], "outputs": [{"name": "x"}]}, "exactly one output"),
        ({"inputs": [tensor(png())], "outputs": classes(-1)}, "'classification'"),
    ],
)
def test_what_is_refused(
    client: TestClient, bundle: Bundle, fields: dict[str, Any], words: str
) -> None:
    answer = infer(client, bundle, **fields)
    assert answer.status_code == 422, answer.text
    assert list(answer.json()) == ["error"]
    assert words in answer.json()["error"]


@pytest.mark.parametrize("length", ["x", "-1", "9" * 30, "0" * 5000, "²", ""])
def test_a_wrong_length_of_the_json(client: TestClient, bundle: Bundle, length: str) -> None:
    headers, body = as_tensor(png())
    headers[LENGTH] = length
    raw: Any = [(name.encode(), value.encode()) for name, value in headers.items()]
    answer = client.post(f"/v2/models/{bundle.name}/infer", content=body, headers=raw)
    assert answer.status_code == 422
    assert LENGTH in answer.json()["error"]


def test_binary_data_that_lie(client: TestClient, bundle: Bundle) -> None:
    for data, words in (
        (b"\xff\xff\xff\xff" + png(), "end before their last element"),
        (b"\x01\x00", "end before their last element"),
        (b"\0\0\0\0" * 50_000, "the data are 33"),
    ):
        fields = tensor(shape=[1], parameters={"binary_data_size": len(data)})
        head = json.dumps({"inputs": [fields]}).encode()
        headers = {LENGTH: str(len(head))}
        url = f"/v2/models/{bundle.name}/infer"
        answer = client.post(url, content=head + data, headers=headers)
        assert answer.status_code == 422
        assert words in answer.json()["error"]


def test_an_id_that_is_no_text_still_gets_an_answer(client: TestClient, bundle: Bundle) -> None:
    answer = infer_binary(client, bundle, [png(1)], id="half a pair: \ud800")
    assert (answer.status_code, answer.json()["id"]) == (200, "half a pair: ?")
