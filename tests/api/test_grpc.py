"""The Open Inference Protocol over gRPC: the real client, the health service, keys and errors."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from calling import INFER, Caller, Outcome, caller_of, ended, grpc_settings, labels
from grpc_health.v1 import health_pb2, health_pb2_grpc
from posting import png
from running import RunningServer, until
from tritonclient import grpc as triton
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

from app import __version__
from app.model.bundle import Bundle

pytest_plugins = ["app_fixtures"]

KEY = "a-key-0123456789"
BEARER = f"Bearer {KEY}"
SETTINGS = grpc_settings(api_keys=KEY, max_photos=4, max_upload_bytes=200_000)
PORT = SETTINGS["grpc_port"]


@pytest.fixture(scope="module")
def server(small_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    log = tmp_path_factory.mktemp("grpc") / "log"
    with RunningServer(small_bundle, log, **SETTINGS) as server:
        yield server
        assert "Traceback" not in server.log.read_text()


@pytest.fixture
def caller(server: RunningServer) -> Iterator[Caller]:
    with caller_of(server, PORT) as caller:
        yield caller


@pytest.fixture
def client(server: RunningServer) -> Iterator[Any]:  # noqa: ARG001
    with triton.InferenceServerClient(f"127.0.0.1:{PORT}") as client:
        yield client


@pytest.fixture
def best(server: RunningServer) -> list[tuple[str, float]]:
    """What `/predict` answers: the labels and their scores."""
    headers = {"Authorization": BEARER}
    answer = server.client.post("/predict", content=png(), headers=headers).json()
    return [(each["label"], each["score"]) for each in answer["predictions"]]


def tensor(*photos: bytes) -> triton.InferInput:
    given = triton.InferInput("image", [len(photos)], "BYTES")
    given.set_data_from_numpy(np.array(photos, dtype=object))
    return given


def test_triton_finds_a_living_server(client: Any, bundle: Bundle) -> None:  # noqa: ANN401
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(bundle.name)
    assert client.is_model_ready(bundle.name, bundle.version)
    for name, version in (("other", ""), (bundle.name, "1")):
        with pytest.raises(InferenceServerException, match="NOT_FOUND"):
            client.is_model_ready(name, version)
    assert client.get_server_metadata(as_json=True) == {
        "name": "photo-classifier",
        "version": __version__,
        "extensions": ["classification", "binary_tensor_data"],
    }


def test_triton_reads_the_same_metadata_as_over_rest(
    client: Any,  # noqa: ANN401
    server: RunningServer,
    bundle: Bundle,
) -> None:
    model = client.get_model_metadata(bundle.name)
    rest = server.client.get(f"/v2/models/{bundle.name}").json()
    assert (model.name, list(model.versions), model.platform) == (
        rest["name"],
        rest["versions"],
        rest["platform"],
    )
    for tensors, as_json in ((model.inputs, rest["inputs"]), (model.outputs, rest["outputs"])):
        (one,) = tensors
        described = {"name": one.name, "datatype": one.datatype, "shape": list(one.shape)}
        assert [described] == as_json


def test_triton_classifies(
    client: Any,  # noqa: ANN401
    bundle: Bundle,
    best: list[tuple[str, float]],
) -> None:
    wanted = triton.InferRequestedOutput("scores", class_count=2)
    asked = {"request_id": "7", "headers": {"authorization": BEARER}}
    answer = client.infer(bundle.name, [tensor(png(), png())], outputs=[wanted], **asked)
    assert answer.get_response().id == "7"
    assert answer.get_response().model_version == bundle.version
    rows = [[text.decode() for text in row] for row in answer.as_numpy("scores")]
    assert [[text.split(":", 2)[2] for text in row] for row in rows] == 2 * [
        [label for label, _ in best[:2]]
    ]
    assert float(rows[0][0].split(":")[0]) == pytest.approx(best[0][1], abs=1e-6)


def test_triton_gets_all_scores_without_asking(
    client: Any,  # noqa: ANN401
    bundle: Bundle,
    best: list[tuple[str, float]],
) -> None:
    answer = client.infer(bundle.name, [tensor(png(), png())], headers={"authorization": BEARER})
    scores = answer.as_numpy("scores")
    assert (scores.shape, scores.dtype) == ((2, 3), np.float32)
    assert scores.max(axis=1) == pytest.approx([best[0][1]] * 2, abs=1e-6)


def test_triton_understands_the_errors(client: Any, bundle: Bundle) -> None:  # noqa: ANN401
    pixels = triton.InferInput("image", [1, 8, 8, 3], "FP32")
    pixels.set_data_from_numpy(np.zeros((1, 8, 8, 3), np.float32))
    for model, given, key, words in (
        (bundle.name, tensor(png(), b"text"), BEARER, "INVALID_ARGUMENT.*Photo 2 of 2: The file"),
        (bundle.name, tensor(*[png()] * 5), BEARER, "INVALID_ARGUMENT.* N from 1 to 4"),
        (bundle.name, pixels, BEARER, "INVALID_ARGUMENT.*no raw pixels"),
        (bundle.name, tensor(png()), "Bearer other", "UNAUTHENTICATED.*valid key"),
        ("other", tensor(png()), BEARER, "NOT_FOUND.*There is no model 'other'"),
    ):
        with pytest.raises(InferenceServerException, match=words):
            client.infer(model, [given], headers={"authorization": key})


def test_photos_may_be_in_the_contents(
    caller: Caller, bundle: Bundle, best: list[tuple[str, float]]
) -> None:
    contents = service_pb2.InferTensorContents(bytes_contents=[png(), png()])
    given = {"name": "image", "datatype": "BYTES", "shape": [2, 1], "contents": contents}
    request = caller.request(inputs=[given], raw_input_contents=[], model_version=bundle.version)
    outcome = caller.send(request, authorization=BEARER)
    assert (outcome.code, labels(outcome.answer)) == ("OK", [best[0][0]] * 2)
    both = caller.request(png(), inputs=[given])
    assert "raw_input_contents[0] or" in caller.send(both, authorization=BEARER).details


def test_each_outcome_has_a_code_an_id_a_log_line_and_a_count(
    server: RunningServer, caller: Caller, bundle: Bundle
) -> None:
    for photo, code, own, status in (
        (png(), "OK", "ok", 200),
        (b"text", "INVALID_ARGUMENT", "unsupported_image", 415),
        (png()[:60], "INVALID_ARGUMENT", "broken_image", 422),
        (b"", "INVALID_ARGUMENT", "empty_file", 422),
        (b"x" * 200_001, "INVALID_ARGUMENT", "file_too_large", 413),
    ):
        outcome = caller.infer(photo, authorization=BEARER, x_request_id=f"find-{own}")
        assert (outcome.code, outcome.outcome) == (code, own)
        assert outcome.trailers["x-request-id"] == f"find-{own}"
        line = server.line_of(f"find-{own}")
        assert (line["status"], line["outcome"]) == (status, own)
        assert (line["path"], line["client"]) == (INFER, "127.0.0.1")
    lines = server.client.get("/metrics").text.splitlines()
    counted = [line for line in lines if 'dialect="oip-grpc"' in line and 'status="415"' in line]
    assert len(counted) == 1
    assert bundle.name not in counted[0]


def test_a_stranger_learns_nothing(caller: Caller) -> None:
    for key in ("", "Bearer ", f"Basic {KEY}", f"Bearer {KEY[:-1]}"):
        for model in (caller.model, "unknown"):
            request = caller.request(png(), model_name=model)
            metadata: dict[str, Any] = {"authorization": key} if key else {}
            outcome = ended(caller.start(request, **metadata))
            assert (outcome.code, outcome.outcome) == ("UNAUTHENTICATED", "unauthorized")
    assert caller.infer(png(), authorization=f"bearer  {KEY}").code == "OK"


def raw(caller: Caller, message: bytes, compression: grpc.Compression | None = None) -> Outcome:
    """Send any bytes as the message, and return how the call ended."""
    method: Any = caller.channel.unary_unary(INFER)
    metadata = [("authorization", BEARER)]
    return ended(method.future(message, 60, metadata, compression=compression))


def test_what_is_no_request_is_refused(caller: Caller) -> None:
    for message in (b"\x0a\xff", b"\xff" * 20, b"\x0a\x02\xff\xff", b"\x0b"):
        assert raw(caller, message).outcome == "malformed_body"
    assert raw(caller, b"").outcome == "not_found"


def test_a_message_of_a_million_fields_is_refused_at_once(caller: Caller) -> None:
    """Here the fields are photos, inputs, parameters of the input, of the output, and photos."""
    empty = service_pb2.ModelInferRequest(model_name=caller.model).SerializeToString()
    for bomb in (
        b"\x3a\0" * 250_000,
        b"\x2a\0" * 250_000,
        caller.request(inputs=[{"shape": [1] * 400_000}]).SerializeToString(),
        caller.request(
            inputs=[{"name": "image", "contents": {"bytes_contents": [b""] * 250_000}}],
            raw_input_contents=[],
        ).SerializeToString(),
    ):
        started = time.perf_counter()
        outcome = raw(caller, empty + bomb)
        assert outcome.code == "INVALID_ARGUMENT", outcome
        assert time.perf_counter() - started < 5


def test_a_compressed_message_is_refused(caller: Caller) -> None:
    """A few kilobytes could become as many megabytes."""
    assert raw(caller, b"x" * 1_000_000, grpc.Compression.Gzip).code == "UNIMPLEMENTED"


def test_a_message_above_the_limit_is_refused(server: RunningServer, caller: Caller) -> None:
    outcome = caller.infer(b"x" * 700_000, authorization=BEARER)
    assert outcome.code == "RESOURCE_EXHAUSTED"
    assert "larger than max" in outcome.details
    assert "vs. 600000" in outcome.details
    assert server.health()["in_flight_bytes"] == 0


def test_deadlines_hold_and_free_the_place(server: RunningServer, caller: Caller) -> None:
    outcome = caller.infer(png(), authorization=BEARER, x_deadline_ms="many")
    assert (outcome.code, outcome.outcome) == ("INVALID_ARGUMENT", "invalid_request")
    (worker,) = server.workers()
    os.kill(worker, signal.SIGSTOP)
    try:
        given = {"authorization": BEARER, "x_request_id": "by-grpc"}
        outcome = caller.infer(png(), timeout_s=0.5, **given)
        assert outcome.code == "DEADLINE_EXCEEDED"
        assert server.line_of("by-grpc")["outcome"] == "deadline_exceeded"
        outcome = caller.infer(png(), authorization=BEARER, x_deadline_ms="500")
        assert (outcome.code, outcome.outcome) == ("DEADLINE_EXCEEDED", "deadline_exceeded")
        until(lambda: server.health()["in_flight"] == 0)
        assert server.health()["in_flight_bytes"] == 0
    finally:
        os.kill(worker, signal.SIGCONT)


def test_a_client_that_hangs_up_frees_its_place(server: RunningServer, caller: Caller) -> None:
    (worker,) = server.workers()
    os.kill(worker, signal.SIGSTOP)
    try:
        request = caller.request(png(), png())
        call = caller.start(request, authorization=BEARER, x_request_id="gone")
        until(lambda: server.health()["in_flight"] == 2)
        call.cancel()
        until(lambda: server.health()["in_flight"] == 0)
        assert server.health()["in_flight_bytes"] == 0
    finally:
        os.kill(worker, signal.SIGCONT)
    assert server.line_of("gone")["outcome"] == "client_closed"
    assert caller.infer(png(), authorization=BEARER).code == "OK"


def health_of(caller: Caller, name: str = "") -> str:
    """Return what the standard health service says of a service."""
    request = health_pb2.HealthCheckRequest(service=name)
    answer = health_pb2_grpc.HealthStub(caller.channel).Check(request, timeout=10)
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


def test_the_standard_health_service(caller: Caller) -> None:
    assert health_of(caller) == "SERVING"
    assert health_of(caller, "inference.GRPCInferenceService") == "SERVING"
    with pytest.raises(grpc.RpcError) as failure:
        health_of(caller, "other")
    assert failure.value.code() is grpc.StatusCode.NOT_FOUND
    watch = health_pb2_grpc.HealthStub(caller.channel).Watch
    unknown = watch(health_pb2.HealthCheckRequest(service="other"))
    assert next(unknown).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    unknown.cancel()


def test_without_workers_nothing_is_ready(
    server: RunningServer,
    client: Any,  # noqa: ANN401
    caller: Caller,
    bundle: Bundle,
) -> None:
    watch = health_pb2_grpc.HealthStub(caller.channel).Watch(
        health_pb2.HealthCheckRequest(), timeout=60
    )
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    # While the zygote stands still, no new worker comes.
    zygote, (worker,) = server.zygote(), server.workers()
    os.kill(zygote, signal.SIGSTOP)
    os.kill(worker, signal.SIGKILL)
    try:
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert health_of(caller) == "NOT_SERVING"
        assert client.is_server_live()
        assert not client.is_server_ready()
        assert not client.is_model_ready(bundle.name)
    finally:
        os.kill(zygote, signal.SIGCONT)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()
    until(lambda: client.is_server_ready() and client.is_model_ready(bundle.name))


def test_an_unknown_method_is_refused(caller: Caller) -> None:
    method: Any = caller.channel.unary_unary("/inference.GRPCInferenceService/RepositoryIndex")
    assert ended(method.future(b"", 10)).code == "UNIMPLEMENTED"
