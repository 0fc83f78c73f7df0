"""`GET /metrics`: the series of each service."""

import io

import pytest
from fakes import FakePool
from fastapi.testclient import TestClient
from PIL import Image
from posting import SETTINGS, png, post
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from app.main import create_app
from app.model.bundle import Bundle

pytest_plugins = ["app_fixtures"]

REQUESTS = "classifier_http_requests_total"
OURS = REQUESTS + '{dialect="own",method="POST",route="/predict"'


def test_metrics_count_what_happened(client: TestClient, bundle: Bundle) -> None:
    post(client, png())
    post(client, b"")
    client.get("/nothing")
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    for line in (
        f'{OURS},status="200"}} 1.0',
        f'{OURS},status="429"}} 0.0',
        f'{OURS},status="503"}} 0.0',
        f'{REQUESTS}{{dialect="",method="GET",route="unmatched",status="404"}} 1.0',
        'classifier_outcomes_total{reason="ok"} 1.0',
        'classifier_outcomes_total{reason="empty_file"} 1.0',
        'classifier_stage_duration_seconds_count{stage="decode"} 1.0',
        'classifier_stage_duration_seconds_count{stage="total"} 1.0',
        "classifier_batch_photos_sum 1.0",
        "classifier_padding_rows_total 3.0",
        "classifier_top1_score_ratio_sum 1.0",
        "classifier_entropy_ratio_sum 0.0",
        "classifier_queued_photos 0.0",
        "classifier_in_flight_bytes 0.0",
        "classifier_capacity_bytes 1e+08",
        "classifier_in_flight_photos 0.0",
        "classifier_capacity_photos 4.0",
        "classifier_ready 1.0",
        'classifier_worker_restarts_total{reason="crash"} 0.0',
        f'classifier_model_info{{name="{bundle.name}",version="{bundle.version}"}} 1.0',
    ):
        assert line in response.text.splitlines()


def test_metrics_describe_the_photos_and_the_answers(client: TestClient, bundle: Bundle) -> None:
    photo = png()
    post(client, photo)
    lines = client.get("/metrics").text.splitlines()
    assert f"classifier_upload_bytes_sum {len(photo):.1f}" in lines
    with Image.open(io.BytesIO(photo)) as picture:
        assert f"classifier_photo_pixels_sum {picture.width * picture.height:.1f}" in lines
    assert 'classifier_answered_photos_total{format="PNG"} 1.0' in lines
    answers = [line for line in lines if line.startswith("classifier_answers_total{")]
    assert sum(float(line.split()[-1]) for line in answers) == 1
    assert f'classifier_answers_total{{class="0 {bundle.label(0)}"}}' in "".join(answers)


@pytest.mark.parametrize("encoding", ["gzip", "deflate, gzip;q=0.5"])
def test_who_asks_gets_the_metrics_compressed(client: TestClient, encoding: str) -> None:
    response = client.get("/metrics", headers={"Accept-Encoding": encoding})
    assert response.headers["content-encoding"] == "gzip"
    assert int(response.headers["content-length"]) < len(response.content) / 3
    assert "classifier_ready 1.0" in response.text


@pytest.mark.parametrize("encoding", ["identity", "gzip;q=0", "br"])
def test_nobody_else_gets_them_compressed(client: TestClient, encoding: str) -> None:
    response = client.get("/metrics", headers={"Accept-Encoding": encoding})
    assert "content-encoding" not in response.headers
    assert "classifier_ready 1.0" in response.text


def test_prometheus_gets_open_metrics(client: TestClient) -> None:
    post(client, png())
    accept = (
        "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
    )
    response = client.get("/metrics", headers={"Accept": accept})
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    parsed = text_string_to_metric_families(response.text)  # type: ignore[no-untyped-call]
    families = {family.name: family for family in parsed}
    assert families["classifier_answered_photos"].type == "counter"
    assert response.text.endswith("# EOF\n")
    # Without traces, nothing leads from a measured time to its trace.
    assert "trace_id" not in response.text


def test_two_services_in_one_process_do_not_share_metrics(bundle: Bundle) -> None:
    apps = [create_app(SETTINGS, bundle, lambda *_: FakePool()) for _ in range(2)]
    with TestClient(apps[0]) as first, TestClient(apps[1]) as second:
        post(first, png())
        assert 'classifier_outcomes_total{reason="ok"} 0.0' in second.get("/metrics").text
