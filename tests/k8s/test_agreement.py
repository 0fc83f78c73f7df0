"""The manifests agree with the code: settings, paths, ports, limits and metrics."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from manifests import (
    KUBECTL,
    OVERLAYS,
    ROOT,
    Object,
    container,
    kserve,
    only,
    pod,
    read,
    rendered,
    with_component,
)

from app.api.routes import health, metrics
from app.settings import Settings, read_settings
from app.telemetry.metrics import Metrics

DOCKERFILE = ROOT / "Dockerfile"
PATHS = {getattr(route, "path", "") for route in health.router.routes}
# After the drain, the workers and the process need this time to stop.
SPARE_S = 10

PHOTO_PATHS = ("/predict", "/explain", "/embed")


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def spreads(spec: Object) -> list[Object]:
    """Return the rules that spread a pod's likes over nodes and over zones."""
    preferred = spec["affinity"]["podAntiAffinity"][
        "preferredDuringSchedulingIgnoredDuringExecution"
    ]
    return [*(one["podAffinityTerm"] for one in preferred), *spec["topologySpreadConstraints"]]


def settings(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> Settings:
    for key, value in variables.items():
        monkeypatch.setenv(key, value)
    return read_settings()


def assert_agrees(spec: Object, own: Settings) -> None:
    (served,) = spec["containers"]
    port, *others = served["ports"]
    assert [each["containerPort"] for each in others] == [own.grpc_port] * (
        "oip-grpc" in own.dialects
    )
    assert (own.host, own.port) == ("0.0.0.0", port["containerPort"])  # noqa: S104
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert served[name]["httpGet"]["path"] in PATHS
        assert served[name]["httpGet"]["port"] in (port["name"], own.port)
    assert served["readinessProbe"]["httpGet"]["path"] == "/health/ready"
    assert served["livenessProbe"]["httpGet"]["path"] == "/health/live"
    startup = served["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] > own.start_timeout_s
    drain_s = own.drain_delay_s + own.drain_timeout_s
    assert spec["terminationGracePeriodSeconds"] >= drain_s + SPARE_S
    user = re.search(r"^USER (\d+):(\d+)$", DOCKERFILE.read_text(), re.MULTILINE)
    assert user
    security = spec["securityContext"]
    assert [security["runAsUser"], security["runAsGroup"]] == [
        int(number) for number in user.groups()
    ]
    # Decoding takes up to 16 bytes per pixel (WebP with alpha), beside the workers' 0.9 GB.
    memory = size(served["resources"]["limits"]["memory"])
    assert own.decoder_count * own.max_pixels * 16 < memory - 0.9e9
    # Within this delay, the readiness probe fails, and all nodes' endpoints and proxies follow.
    assert own.drain_delay_s > served["readinessProbe"]["periodSeconds"]


def test_pods_agree_with_their_settings(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = only(overlay, "ConfigMap")
    (source,) = container(overlay)["envFrom"]
    assert source["configMapRef"]["name"] == config["metadata"]["name"]
    assert_agrees(pod(overlay), settings(monkeypatch, config["data"]))


def test_with_traces_pods_send_them_and_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = {thing["kind"]: thing for thing in with_component("traces", tmp_path)}
    config, spec = objects["ConfigMap"], objects["Deployment"]["spec"]["template"]["spec"]
    (source,) = spec["containers"][0]["envFrom"]
    assert source["configMapRef"]["name"] == config["metadata"]["name"]
    own = settings(monkeypatch, config["data"])
    assert own.traces
    assert_agrees(spec, own)
    endpoint = urlsplit(config["data"]["OTEL_EXPORTER_OTLP_ENDPOINT"])
    (out,) = objects["NetworkPolicy"]["spec"]["egress"]
    assert {(rule["protocol"], rule["port"]) for rule in out["ports"]} == {
        ("TCP", endpoint.port), ("TCP", 53), ("UDP", 53),
    }  # fmt: skip


def test_with_grpc_clients_reach_its_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = {thing["kind"]: thing for thing in with_component("grpc", tmp_path)}
    own = settings(monkeypatch, objects["ConfigMap"]["data"])
    spec = objects["Deployment"]["spec"]["template"]["spec"]
    assert_agrees(spec, own)
    assert "oip-grpc" in own.dialects
    _, port = spec["containers"][0]["ports"]
    _, of_service = objects["Service"]["spec"]["ports"]
    assert (of_service["targetPort"], of_service["port"]) == (port["name"], own.grpc_port)
    (rule,) = objects["NetworkPolicy"]["spec"]["ingress"]
    assert {"protocol": "TCP", "port": port["name"]} in rule["ports"]


def test_kserves_pods_agree_with_their_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    (served,) = kserve()["containers"]
    variables = {one["name"]: one["value"] for one in served["env"] if "value" in one}
    assert_agrees(kserve(), settings(monkeypatch, variables))


def test_kserve_and_its_container_speak_the_same_protocol() -> None:
    (served,) = kserve()["containers"]
    variables = {one["name"]: one.get("value") for one in served["env"]}
    assert (variables["PROTOCOL"], variables["CLASSIFIER_DIALECTS"]) == ("v2", "oip")


def test_kserve_runs_the_same_container() -> None:
    (theirs,) = kserve()["containers"]
    ours = container("prometheus")
    for key in ("image", "resources", "securityContext", "volumeMounts"):
        assert theirs[key] == ours[key], key
    # These variables hold the keys.
    assert [one for one in theirs["env"] if "valueFrom" in one] == ours["env"]


def test_the_documented_secret_is_what_the_pods_read(overlay: str, tmp_path: Path) -> None:
    pages = (ROOT / "docs/operate/keys.md").read_text()
    (command,) = re.findall(r"^kubectl (create secret (?:.*\\\n)*.*)", pages, re.MULTILINE)
    script = f"{KUBECTL} {command} --dry-run=client --output json"
    secret = json.loads(subprocess.check_output(["sh", "-c", script], cwd=tmp_path))
    assert secret["kind"] == "Secret"
    references = [one["valueFrom"]["secretKeyRef"] for one in container(overlay)["env"]]
    assert {one["name"] for one in references} == {secret["metadata"]["name"]}
    assert {one["key"] for one in references} == set(secret["data"])


def test_every_selector_finds_the_pods_and_nothing_else(overlay: str) -> None:
    labels = {"app.kubernetes.io/name": "photo-classifier"}
    deployment = only(overlay, "Deployment")["spec"]
    stable = labels | {"track": "stable"}
    assert deployment["template"]["metadata"]["labels"] == stable
    # Only the Deployment must leave the pods of a canary to another one.
    assert deployment["selector"]["matchLabels"] == stable
    assert only(overlay, "Service")["spec"]["selector"] == labels
    assert only(overlay, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert only(overlay, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels
    for spread in spreads(pod(overlay)):
        assert spread["labelSelector"]["matchLabels"] == labels
        # Only the pods of one revision count, and a canary's are of another one.
        assert spread["matchLabelKeys"] == ["pod-template-hash"]


def test_the_operator_finds_the_service() -> None:
    monitor = only("prometheus", "ServiceMonitor")["spec"]
    service = only("prometheus", "Service")
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["endpoints"]
    assert endpoint["port"] == service["spec"]["ports"][0]["name"]
    assert endpoint["path"] in {getattr(route, "path", "") for route in metrics.router.routes}
    # The alerts select the series of the job with this name.
    assert service["metadata"]["name"] == "photo-classifier"


def test_the_service_leads_to_the_container(overlay: str) -> None:
    (port,) = only(overlay, "Service")["spec"]["ports"]
    (theirs,) = container(overlay)["ports"]
    ((policy,),) = (rule["ports"] for rule in only(overlay, "NetworkPolicy")["spec"]["ingress"])
    assert port["targetPort"] == policy["port"] == theirs["name"]


def test_a_rollout_takes_no_pod_away_first(overlay: str) -> None:
    spec = only(overlay, "Deployment")["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    # The autoscaler sets the number of replicas, where there is one.
    scaled = {"HorizontalPodAutoscaler", "ScaledObject"} & {
        one["kind"] for one in rendered(overlay)
    }
    assert spec.get("replicas") == (None if scaled else 1)


def test_the_ingress_lets_pass_what_the_service_takes() -> None:
    ingress = read("components/ingress/ingress.yaml")
    megabytes = ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-body-size"]
    max_bytes = read_settings().max_body_bytes
    assert max_bytes < int(megabytes.rstrip("m")) * 2**20 < 1.2 * max_bytes
    (rule,) = ingress["spec"]["rules"]
    paths = rule["http"]["paths"]
    assert [path["path"] for path in paths] == list(PHOTO_PATHS)
    service = only("cpu", "Service")
    for path in paths:
        backend = path["backend"]["service"]
        assert backend["name"] == service["metadata"]["name"]
        assert backend["port"]["name"] == service["spec"]["ports"][0]["name"]


def test_the_adapter_gives_what_the_autoscaler_asks_for() -> None:
    (rule,) = read("monitoring/prometheus/adapter.yaml")["rules"]["custom"]
    asked = [
        metric["pods"]["metric"]["name"]
        for metric in only("prometheus", "HorizontalPodAutoscaler")["spec"]["metrics"]
        if metric["type"] == "Pods"
    ]
    assert asked == [rule["name"]["as"]]
    known = {family.name for family in Metrics().registry.collect()}
    assert {"classifier_in_flight_photos", "classifier_capacity_photos"} <= known
    assert "classifier_in_flight_photos" in rule["metricsQuery"]


def test_keda_scales_as_the_autoscaler_does() -> None:
    assert all(thing["kind"] != "HorizontalPodAutoscaler" for thing in rendered("keda"))
    keda, hpa = (
        only("keda", "ScaledObject")["spec"],
        only("prometheus", "HorizontalPodAutoscaler")["spec"],
    )
    assert keda["minReplicaCount"] == hpa["minReplicas"] == 2
    assert keda["maxReplicaCount"] == hpa["maxReplicas"]
    assert keda["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == hpa["behavior"]
    assert [float(target(metric)) for metric in hpa["metrics"]] == [
        float(milli(trigger["metadata"].get("threshold") or trigger["metadata"]["value"]))
        for trigger in keda["triggers"]
    ]


def target(metric: dict[str, Any]) -> float:
    source = metric["pods"] if metric["type"] == "Pods" else metric["resource"]
    return milli(source["target"]["averageValue"])


def milli(quantity: str) -> float:
    return float(quantity.rstrip("m")) / (1000 if quantity.endswith("m") else 1)


def size(quantity: str) -> int:
    """Return the bytes of a quantity such as 1536Mi or 4Gi."""
    number, unit = int(quantity[:-2]), quantity[-2:]
    return number * {"Mi": 2**20, "Gi": 2**30}[unit]
