"""Traces of the real service, as a collector receives them, and their ids in the log."""

import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
import skimage
from calling import INFER, caller_of
from collector import Collector, values
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from running import RunningServer, start_error, stopped_worker, until

from app.bench.measure.launch import free_port
from app.telemetry.tracing import Traces, trace_ids

CAT = (Path(skimage.__file__).parent / "data" / "chelsea.png").read_bytes()
CAPACITY = 3


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@contextmanager
def traced(bundle: Path, log: Path, endpoint: str, **variables: str) -> Iterator[RunningServer]:
    """Run a server with one worker that sends its traces to `endpoint`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        for name, value in variables.items():
            patch.setenv(name, value)
        with RunningServer(
            bundle,
            log,
            traces=True,
            workers=1,
            max_batch_size=2,
            capacity=CAPACITY,
            longest_wait_s=1,
            batch_timeout_s=60,
            # A stopped worker must hold photos of the test, not a canary.
            canary_interval_s=3600,
            drain_delay_s=0,
        ) as server:
            yield server


@pytest.fixture(scope="module")
def server(
    small_bundle: Path, collector: Collector, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    log = tmp_path_factory.mktemp("traces") / "log"
    with traced(small_bundle, log, collector.url, OTEL_BSP_SCHEDULE_DELAY="50") as server:
        yield server


def wait_for(server: RunningServer, in_flight: int) -> None:
    """Wait until `in_flight` photos are decoded, the worker has the first, and the others wait."""
    waiting = f"classifier_queued_photos {in_flight - 1:.1f}\n"
    until(
        lambda: (
            server.health()["in_flight"] == in_flight
            and waiting in server.client.get("/metrics").text
        )
    )


class Caller:
    """A client that sends its request as a part of its own trace."""

    def __init__(self, flags: str = "01") -> None:
        self.trace_id, self.span_id = secrets.token_hex(16), secrets.token_hex(8)
        self.request_id = secrets.token_hex(16)
        self.headers = {
            "traceparent": f"00-{self.trace_id}-{self.span_id}-{flags}",
            "X-Request-ID": self.request_id,
        }

    def predict(self, server: RunningServer, photo: bytes, **headers: str) -> httpx.Response:
        return server.client.post("/predict", files={"file": photo}, headers=self.headers | headers)


def span_of(collector: Collector, request_id: str) -> Span:
    """Wait for the span of a request, and return it. Its children arrive before it."""
    until(lambda: collector.of_request(request_id), timeout_s=15)
    span = collector.of_request(request_id)
    assert span
    return span


def summary(span: Span) -> tuple[str, object, object, str]:
    """Return a span's name, HTTP status, outcome, and span status."""
    attributes = values(span)
    return (
        span.name,
        attributes["http.response.status_code"],
        attributes["classifier.outcome"],
        Status.StatusCode.Name(span.status.code),
    )


def test_a_photos_span_hangs_below_its_callers(server: RunningServer, collector: Collector) -> None:
    caller = Caller()
    assert caller.predict(server, CAT).status_code == 200
    span = span_of(collector, caller.request_id)
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (caller.trace_id, caller.span_id)
    assert span.kind == Span.SPAN_KIND_SERVER
    assert summary(span) == ("POST /predict", 200, "ok", "STATUS_CODE_UNSET")
    attributes = values(span)
    assert (attributes["http.request.method"], attributes["http.route"]) == ("POST", "/predict")
    line = server.line_of(caller.request_id)
    assert (line["trace_id"], line["span_id"]) == (caller.trace_id, span.span_id.hex())


def test_its_stages_lie_in_it_as_they_were_measured(
    server: RunningServer, collector: Collector
) -> None:
    caller = Caller()
    timings_ms = caller.predict(server, CAT).json()["timings_ms"]
    span = span_of(collector, caller.request_id)
    stages = collector.below(span)
    assert set(stages) == {"decode", "queue", "inference"}
    ends = [span.start_time_unix_nano]
    # The stages follow each other in time.
    for name in ("decode", "queue", "inference"):
        stage = stages[name]
        assert stage.start_time_unix_nano >= ends[-1]
        ends.append(stage.end_time_unix_nano)
        duration_ms = (stage.end_time_unix_nano - stage.start_time_unix_nano) / 1e6
        assert duration_ms == pytest.approx(timings_ms[name], abs=0.006)
    assert ends[-1] <= span.end_time_unix_nano
    assert values(stages["inference"]) == {"classifier.batch_size": 1}


def test_the_service_has_its_name(server: RunningServer, collector: Collector) -> None:
    caller = Caller()
    caller.predict(server, CAT)
    span_of(collector, caller.request_id)
    attributes = values(collector.resources[-1])
    assert attributes["service.name"] == "photo-classifier"
    assert attributes["telemetry.sdk.language"] == "python"


@pytest.mark.parametrize(
    ("photo", "status", "code", "stages"),
    [
        (CAT[:20_000], 422, "broken_image", {"decode"}),
        (b"", 422, "empty_file", set()),
        (b"no photo", 415, "unsupported_image", {"decode"}),
    ],
)
def test_a_bad_upload_is_no_failure_of_ours(
    server: RunningServer,
    collector: Collector,
    photo: bytes,
    status: int,
    code: str,
    stages: set[str],
) -> None:
    caller = Caller()
    assert caller.predict(server, photo).json()["code"] == code
    span = span_of(collector, caller.request_id)
    assert summary(span) == ("POST /predict", status, code, "STATUS_CODE_UNSET")
    assert set(collector.below(span)) == stages


def test_photos_of_one_batch_and_one_refused_at_the_door(
    server: RunningServer, collector: Collector
) -> None:
    callers = [Caller() for _ in range(CAPACITY)]
    refused = Caller()
    with ThreadPoolExecutor(CAPACITY) as clients, stopped_worker(server):
        answers = []
        for count, caller in enumerate(callers, 1):
            answers.append(clients.submit(caller.predict, server, CAT))
            wait_for(server, in_flight=count)
        assert refused.predict(server, CAT).status_code == 429
    assert [answer.result().status_code for answer in answers] == [200] * CAPACITY
    stages = [collector.below(span_of(collector, caller.request_id)) for caller in callers]
    sizes = [values(stage["inference"])["classifier.batch_size"] for stage in stages]
    # The worker had the photo that was decoded first when the others came, and they came together.
    assert sorted(sizes) == [1, 2, 2]
    assert collector.of_request(refused.request_id) is None


def test_an_answer_too_late_is_a_failure(server: RunningServer, collector: Collector) -> None:
    caller = Caller()
    with stopped_worker(server):
        answer = caller.predict(server, CAT, **{"X-Deadline-Ms": "300"})
    assert answer.status_code == 504
    span = span_of(collector, caller.request_id)
    assert summary(span) == ("POST /predict", 504, "deadline_exceeded", "STATUS_CODE_ERROR")


def test_a_caller_who_hangs_up_has_a_span(server: RunningServer, collector: Collector) -> None:
    caller = Caller()
    with stopped_worker(server):
        with (
            httpx.Client(base_url=server.url, timeout=0.5) as client,
            pytest.raises(httpx.ReadTimeout),
        ):
            client.post("/predict", files={"file": CAT}, headers=caller.headers)
        span = span_of(collector, caller.request_id)
    assert summary(span) == ("POST /predict", 499, "client_closed", "STATUS_CODE_UNSET")


def test_probes_have_no_span_but_their_callers_trace_in_the_log(
    server: RunningServer, collector: Collector
) -> None:
    callers = [Caller() for _ in range(4)]
    for caller, path in zip(
        callers, ("/health", "/health/live", "/health/ready", "/metrics"), strict=True
    ):
        assert server.client.get(path, headers=caller.headers).status_code == 200
        line = server.line_of(caller.request_id)
        assert line["trace_id"] == caller.trace_id
        assert "span_id" not in line
    last = Caller()
    last.predict(server, CAT)
    span_of(collector, last.request_id)
    sent = {span.trace_id.hex() for span in collector.spans}
    assert sent.isdisjoint(caller.trace_id for caller in callers)


def test_what_the_caller_does_not_sample_is_not_sent(
    server: RunningServer, collector: Collector
) -> None:
    quiet, last = Caller(flags="00"), Caller()
    for caller in (quiet, last):
        assert caller.predict(server, CAT).status_code == 200
    span_of(collector, last.request_id)
    assert quiet.trace_id not in {span.trace_id.hex() for span in collector.spans}
    line = server.line_of(quiet.request_id)
    assert line["trace_id"] == quiet.trace_id
    assert line["span_id"] not in {"", quiet.span_id}


def test_without_a_traceparent_a_trace_begins_here(
    server: RunningServer, collector: Collector
) -> None:
    request_id = server.predict(CAT).headers["x-request-id"]
    span = span_of(collector, request_id)
    assert not span.parent_span_id
    assert server.line_of(request_id)["trace_id"] == span.trace_id.hex()


def test_on_sigterm_all_spans_are_sent(
    small_bundle: Path, collector: Collector, tmp_path: Path
) -> None:
    variables = {"OTEL_BSP_SCHEDULE_DELAY": "600000", "OTEL_SERVICE_NAME": "photos of mine"}
    callers = [Caller() for _ in range(5)]
    with traced(small_bundle, tmp_path / "log", collector.url, **variables) as server:
        for caller in callers:
            assert caller.predict(server, CAT).status_code == 200
        assert not any(collector.of_request(caller.request_id) for caller in callers)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
    for caller in callers:
        span = collector.of_request(caller.request_id)
        assert span
        assert len(collector.below(span)) == 3
    assert values(collector.resources[-1])["service.name"] == "photos of mine"


@pytest.mark.parametrize("silent", [False, True], ids=["closed port", "never answers"])
def test_a_dead_collector_does_no_harm(small_bundle: Path, tmp_path: Path, silent: bool) -> None:
    with closing(socket.socket()) as port:
        port.bind(("127.0.0.1", 0))
        if silent:
            port.listen()
        endpoint = f"http://127.0.0.1:{port.getsockname()[1]}"
        variables = {"OTEL_BSP_SCHEDULE_DELAY": "1", "OTEL_BSP_MAX_QUEUE_SIZE": "8"}
        variables["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"] = "4"
        with traced(small_bundle, tmp_path / "log", endpoint, **variables) as server:
            for _ in range(50):
                answer = server.predict(CAT)
                assert answer.status_code == 200
                # The exporter waits 10 s for the collector.
                assert answer.elapsed.total_seconds() < 5
            server.process.send_signal(signal.SIGTERM)
            # At the shutdown, the SDK waits 30 s for the collector.
            assert server.process.wait(20) == 0
            exporter = [line for line in server.logged() if "opentelemetry" in line["logger"]]
    assert len([line for line in exporter if "export" in line["message"]]) <= 1
    # The other lines may say that the queue is full.
    assert len(exporter) <= 3
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_a_call_over_grpc_has_the_same_spans(
    small_bundle: Path, tmp_path: Path, collector: Collector
) -> None:
    port = free_port()
    variables = {"CLASSIFIER_DIALECTS": "oip-grpc", "CLASSIFIER_GRPC_PORT": str(port)}
    variables["OTEL_BSP_SCHEDULE_DELAY"] = "50"
    with (
        traced(small_bundle, tmp_path / "log", collector.url, **variables) as server,
        caller_of(server, port) as client,
    ):
        caller = Caller()
        parent = caller.headers["traceparent"]
        outcome = client.infer(CAT, traceparent=parent, x_request_id=caller.request_id)
        assert outcome.code == "OK"
        span = span_of(collector, caller.request_id)
        assert (span.name, span.kind) == (INFER, Span.SPAN_KIND_SERVER)
        assert (span.trace_id.hex(), span.parent_span_id.hex()) == (
            caller.trace_id,
            caller.span_id,
        )
        assert values(span)["classifier.outcome"] == "ok"
        children = [one for one in collector.spans if one.parent_span_id == span.span_id]
        assert {one.name for one in children} == {"decode", "queue", "inference"}
        line = server.line_of(caller.request_id)
        assert (line["trace_id"], line["span_id"]) == (caller.trace_id, span.span_id.hex())


@pytest.fixture
def without_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the packages of the extra `otel` from the processes that the test starts."""
    names = ("opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.proto")
    blocked = f"import sys; sys.modules |= dict.fromkeys({names})"
    (tmp_path / "sitecustomize.py").write_text(blocked)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.mark.usefixtures("without_packages")
def test_without_the_packages_it_serves_and_logs_the_callers_trace(
    small_bundle: Path, tmp_path: Path
) -> None:
    caller = Caller()
    with RunningServer(small_bundle, tmp_path / "log", workers=1) as server:
        assert caller.predict(server, CAT).status_code == 200
        line = server.line_of(caller.request_id)
    assert line["trace_id"] == caller.trace_id
    assert "span_id" not in line


def traced_error(bundle: Path, **variables: str) -> str:
    """Run `serve` with traces, which cannot start; return its only line on standard error."""
    arguments = ("--port", 0, "--model-dir", bundle)
    return start_error(*arguments, CLASSIFIER_TRACES="true", **variables)


@pytest.mark.usefixtures("without_packages")
def test_without_the_packages_traces_are_an_error_at_the_start(small_bundle: Path) -> None:
    expected = "error: CLASSIFIER_TRACES needs the packages of requirements/otel.txt: install them"
    assert traced_error(small_bundle).startswith(expected)


def test_a_wrong_setting_of_theirs_is_an_error_at_the_start(small_bundle: Path) -> None:
    line = traced_error(small_bundle, OTEL_BSP_SCHEDULE_DELAY="0")
    assert line.startswith("error: OpenTelemetry's settings: ")
    assert line.endswith("; correct its OTEL_ variables")


def test_where_they_are_not_wanted_the_packages_are_not_loaded() -> None:
    program = (
        "import sys, app.main; from app.telemetry.tracing import Traces;"
        "Traces(False); print(*sys.modules)"
    )
    loaded = subprocess.check_output([sys.executable, "-c", program], text=True).split()
    assert "app.telemetry.tracing" in loaded
    theirs = ("opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.proto", "requests")
    assert not [name for name in loaded if name.startswith(theirs)]


def test_where_they_are_not_wanted_a_span_is_nothing() -> None:
    traces = Traces(wanted=False)
    assert not traces.tracer.start_span("decode").is_recording()
    assert traces.telemetry["tracing"] is False
    traces.flush()


@pytest.mark.parametrize(
    ("traceparent", "trace_id"),
    [
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", True),
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", True),
        ("00-00000000000000000000000000000000-b7ad6b7169203331-01", False),
        ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", False),
        ("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", False),
        ("00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01", False),
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x", False),
        ("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", False),
        ('{"trace_id": 1}', False),
        ("", False),
    ],
)
def test_only_a_sound_traceparent_is_logged(traceparent: str, trace_id: bool) -> None:
    expected = {"trace_id": "0af7651916cd43dd8448eb211c80319c"} if trace_id else {}
    assert trace_ids({"traceparent": traceparent}) == expected


@pytest.mark.parametrize(("length", "has_request"), [(32, True), (128, False)])
def test_an_exemplar_leads_to_the_trace(
    server: RunningServer, length: int, has_request: bool
) -> None:
    trace_id, request_id = secrets.token_hex(16), "r" * length
    traceparent = f"00-{trace_id}-b7ad6b7169203331-01"
    headers = {"traceparent": traceparent, "X-Request-ID": request_id}
    assert server.client.post("/predict", content=CAT, headers=headers).status_code == 200
    found = server.client.get("/metrics", headers={"Accept": "application/openmetrics-text"}).text
    (line,) = (line for line in found.splitlines() if trace_id in line)
    assert line.startswith("classifier_http_request_duration_seconds_bucket{le=")
    assert (request_id in line) == has_request


def test_a_request_that_is_not_sampled_has_no_exemplar(server: RunningServer) -> None:
    trace_id = secrets.token_hex(16)
    headers = {"traceparent": f"00-{trace_id}-b7ad6b7169203331-00"}
    assert server.client.post("/predict", content=CAT, headers=headers).status_code == 200
    found = server.client.get("/metrics", headers={"Accept": "application/openmetrics-text"}).text
    assert trace_id not in found
