"""The programs for which the dialects are made, at a real server."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from posting import png
from running import RunningServer
from speaking import ALL
from tritonclient import http as triton
from tritonclient.utils import InferenceServerException

from app.model.bundle import Bundle

pytest_plugins = ["app_fixtures"]

KEY = "a-key-0123456789"


def bearer() -> dict[str, str]:
    """Return a new dictionary, because Triton's client adds its own headers to it."""
    return {"Authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def server(small_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    log = tmp_path_factory.mktemp("clients") / "log"
    settings = {"workers": 1, "dialects": ALL, "api_keys": KEY, "max_photos": 4}
    with RunningServer(small_bundle, log, **settings) as server:
        yield server


@pytest.fixture
def best(server: RunningServer) -> list[tuple[str, float]]:
    """What `/predict` answers: the labels and their scores."""
    answer = server.client.post("/predict", content=png(), headers=bearer()).json()
    return [(each["label"], each["score"]) for each in answer["predictions"]]


@pytest.fixture
def client(server: RunningServer) -> Iterator[Any]:
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        yield client


def tensor(*photos: bytes, binary: bool = True) -> triton.InferInput:
    elements = [photo if binary else base64.b64encode(photo) for photo in photos]
    given = triton.InferInput("image", [len(photos)], "BYTES")
    given.set_data_from_numpy(np.array(elements, dtype=object), binary_data=binary)
    return given


def texts(values: Any) -> list[list[str]]:  # noqa: ANN401
    return [[text.decode() if isinstance(text, bytes) else text for text in row] for row in values]


def test_triton_finds_a_living_server(client: Any, bundle: Bundle) -> None:  # noqa: ANN401
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(bundle.name)
    assert client.is_model_ready(bundle.name, bundle.version)
    assert not client.is_model_ready("other")
    assert "classification" in client.get_server_metadata()["extensions"]
    assert client.get_model_metadata(bundle.name)["outputs"][0]["shape"] == [-1, 3]


@pytest.mark.parametrize("asks_binary", [True, False])
@pytest.mark.parametrize("sends_binary", [True, False])
def test_triton_classifies(
    client: Any,  # noqa: ANN401
    bundle: Bundle,
    best: list[tuple[str, float]],
    sends_binary: bool,
    asks_binary: bool,
) -> None:
    given = tensor(png(), png(), binary=sends_binary)
    wanted = triton.InferRequestedOutput("scores", binary_data=asks_binary, class_count=2)
    answer = client.infer(bundle.name, [given], outputs=[wanted], request_id="7", headers=bearer())
    assert answer.get_response()["id"] == "7"
    rows = texts(answer.as_numpy("scores"))
    assert [[text.split(":", 2)[2] for text in row] for row in rows] == 2 * [
        [label for label, _ in best[:2]]
    ]
    assert float(rows[0][0].split(":")[0]) == pytest.approx(best[0][1], abs=1e-6)
    wanted = triton.InferRequestedOutput("scores", binary_data=asks_binary)
    scores = client.infer(bundle.name, [given], outputs=[wanted], headers=bearer()).as_numpy(
        "scores"
    )
    assert (scores.shape, scores.dtype) == ((2, 3), np.float32)
    assert scores[1].max() == pytest.approx(best[0][1], abs=1e-6)


def test_triton_gets_all_scores_without_asking(client: Any, bundle: Bundle) -> None:  # noqa: ANN401
    answer = client.infer(bundle.name, [tensor(png())], headers=bearer())
    assert answer.as_numpy("scores").sum() == pytest.approx(1, abs=1e-5)


def test_triton_understands_the_errors(client: Any, bundle: Bundle) -> None:  # noqa: ANN401
    pixels = triton.InferInput("image", [1, 64, 64, 3], "FP32")
    pixels.set_data_from_numpy(np.zeros((1, 64, 64, 3), np.float32))
    for model, given, headers, words in (
        (bundle.name, tensor(png(), b"text"), bearer(), r"\[415\] Photo 2 of 2: The file is not"),
        (bundle.name, tensor(*[png()] * 5), bearer(), r"\[422\] .* N from 1 to 4"),
        (bundle.name, pixels, bearer(), r"\[422\] .*no raw pixels"),
        (bundle.name, tensor(png()), {}, r"\[401\] .*valid key"),
        ("other", tensor(png()), bearer(), r"\[404\] There is no model 'other'"),
    ):
        with pytest.raises(InferenceServerException, match=words):
            client.infer(model, [given], headers=headers)


def test_hugging_faces_client(
    server: RunningServer, tmp_path: Path, best: list[tuple[str, float]]
) -> None:
    file = tmp_path / "photo.png"
    file.write_bytes(png())
    client = InferenceClient(model=f"{server.url}/huggingface", token=KEY)
    for found in (
        client.image_classification(file),
        client.image_classification(png()),
        client.image_classification(png(), top_k=3, function_to_apply="softmax"),
    ):
        assert [(each.label, each.score) for each in found] == best
    with pytest.raises(HfHubHTTPError, match="softmax"):
        client.image_classification(file, function_to_apply="sigmoid")
    with pytest.raises(HfHubHTTPError, match="not an image"):
        client.image_classification(b"text")
    stranger = InferenceClient(model=f"{server.url}/huggingface", token=KEY[:-1])
    with pytest.raises(HfHubHTTPError, match="401"):
        stranger.image_classification(file)


def test_the_request_of_paddlexs_examples(
    server: RunningServer, best: list[tuple[str, float]]
) -> None:
    """PaddleX has no client: its documentation shows this request."""
    image = base64.b64encode(png()).decode("ascii")
    answer = httpx.post(
        f"{server.url}/image-classification", json={"image": image}, headers=bearer()
    )
    assert answer.status_code == 200
    categories = answer.json()["result"]["categories"]
    assert [(each["name"], each["score"]) for each in categories] == best


def test_the_requests_of_torchserves_examples(
    server: RunningServer, bundle: Bundle, best: list[tuple[str, float]]
) -> None:
    """TorchServe has no client for HTTP: its documentation shows curl and requests."""
    url = f"{server.url}/predictions/{bundle.name}"
    for answer in (
        httpx.post(url, files={"data": png()}, headers=bearer()),
        httpx.post(url, content=png(), headers=bearer()),
        httpx.put(url, content=png(), headers=bearer()),
    ):
        assert list(answer.json().items()) == best
