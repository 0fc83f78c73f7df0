"""`GET /metrics`: the series of each service."""

from fakes import FakePool
from fastapi.testclient import TestClient
from posting import SETTINGS, png, post

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


def test_two_services_in_one_process_do_not_share_metrics(bundle: Bundle) -> None:
    apps = [create_app(SETTINGS, bundle, lambda *_: FakePool()) for _ in range(2)]
    with TestClient(apps[0]) as first, TestClient(apps[1]) as second:
        post(first, png())
        assert 'classifier_outcomes_total{reason="ok"} 0.0' in second.get("/metrics").text
