"""What an operator asks of a cluster in the first hour: drains, nodes, scaling, who may connect."""

import math
from fractions import Fraction
from pathlib import Path

import jsonschema
import pytest
from manifests import OVERLAYS, ROOT, Object, documented, only, pod, read, rendered, with_component
from restricted import containers, violations
from test_agreement import PHOTO_PATHS, milli, spreads
from test_schemas import check

from app.settings import Settings

COMPONENTS = ("allow-list", "gateway", "grpc", "ingress", "one-replica", "prometheus", "traces")
NAMESPACE = "kubernetes.io/metadata.name"


def of_kind(objects: tuple[Object, ...], kind: str) -> Object:
    (found,) = (one for one in objects if one["kind"] == kind)
    return found


def evictable(budget: Object, pods: int) -> int:
    """Return how many of healthy pods Kubernetes evicts at once; it rounds a share up."""
    share = int(budget["maxUnavailable"].removesuffix("%"))
    return min(pods, math.ceil(Fraction(pods * share, 100)))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_drain_ends_and_the_last_of_more_pods_stays(overlay: str) -> None:
    budget = only(overlay, "PodDisruptionBudget")["spec"]
    assert "minAvailable" not in budget
    assert [evictable(budget, pods) for pods in (1, 2, 3, 10)] == [1, 1, 2, 5]
    for pods in range(1, 50):
        assert evictable(budget, pods) >= 1
        assert evictable(budget, pods) < pods or pods == 1
    # A pod that does not serve delays no drain.
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_one_node_and_one_zone_will_do(overlay: str) -> None:
    affinity = pod(overlay)["affinity"]["podAntiAffinity"]
    assert "requiredDuringSchedulingIgnoredDuringExecution" not in affinity
    constraints = pod(overlay)["topologySpreadConstraints"]
    assert [one["whenUnsatisfiable"] for one in constraints] == ["ScheduleAnyway"]
    keys = [one["topologyKey"] for one in spreads(pod(overlay))]
    assert keys == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]


def test_one_node_gets_one_pod_that_nothing_scales() -> None:
    kinds = [one["kind"] for one in rendered("one-node")]
    assert "HorizontalPodAutoscaler" not in kinds
    assert only("one-node", "Deployment")["spec"]["replicas"] == 1


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_one_replica_fits_every_overlay(overlay: str, tmp_path: Path) -> None:
    objects = with_component("one-replica", tmp_path, overlay=overlay)
    assert of_kind(objects, "Deployment")["spec"]["replicas"] == 1
    kinds = {one["kind"] for one in objects}
    assert not {"HorizontalPodAutoscaler", "ScaledObject"} & kinds
    assert kinds >= {"ConfigMap", "NetworkPolicy", "PodDisruptionBudget", "Service"}


def test_the_canary_can_be_as_closed(tmp_path: Path) -> None:
    objects = with_component("allow-list", tmp_path, overlay="canary")
    policy = of_kind(objects, "NetworkPolicy")
    assert policy["metadata"]["name"] == "photo-classifier-canary"
    assert policy["spec"]["podSelector"]["matchLabels"]["track"] == "canary"
    assert len(policy["spec"]["ingress"][0]["from"]) == 3


@pytest.mark.parametrize("component", COMPONENTS)
def test_each_component_fits_the_plain_overlay(component: str, tmp_path: Path) -> None:
    objects = with_component(component, tmp_path)
    for thing in objects:
        check(thing)
    assert violations(of_kind(objects, "Deployment")["spec"]["template"]["spec"]) == []


def test_all_components_fit_together(tmp_path: Path) -> None:
    first, *others = COMPONENTS
    objects = with_component(first, tmp_path, *others, "model-pull")
    for thing in objects:
        check(thing)
    (rule,) = of_kind(objects, "NetworkPolicy")["spec"]["ingress"]
    assert [port["port"] for port in rule["ports"]] == ["http", "grpc"]
    assert len(rule["from"]) == 3


def test_the_documented_overlay_lets_in_the_ingress(tmp_path: Path) -> None:
    objects = documented(ROOT / "docs/operate/install.md", tmp_path)
    for thing in objects:
        check(thing)
    assert of_kind(objects, "Ingress")
    assert of_kind(objects, "NetworkPolicy")["spec"]["ingress"][0]["from"]


def test_only_who_is_listed_may_connect(tmp_path: Path) -> None:
    (rule,) = of_kind(with_component("allow-list", tmp_path), "NetworkPolicy")["spec"]["ingress"]
    ingress, prometheus, ours = rule["from"]
    assert ingress["namespaceSelector"]["matchLabels"] == {NAMESPACE: "ingress-nginx"}
    labels = {
        "app.kubernetes.io/name": "ingress-nginx",
        "app.kubernetes.io/component": "controller",
    }
    assert ingress["podSelector"]["matchLabels"] == labels
    # The namespace is where KEDA looks for Prometheus, too.
    server = only("keda", "ScaledObject")["spec"]["triggers"][0]["metadata"]["serverAddress"]
    assert server == "http://prometheus-operated.monitoring.svc:9090"
    assert prometheus["namespaceSelector"]["matchLabels"] == {NAMESPACE: "monitoring"}
    assert prometheus["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "prometheus"}
    # Pods of this namespace need the label; pods of others do not come in by it.
    assert ours == {"podSelector": {"matchLabels": {"photo-classifier-client": "true"}}}


def test_the_operator_sees_the_objects_as_it_is_installed_by_helm() -> None:
    for kind in ("ServiceMonitor", "PrometheusRule"):
        labels = only("prometheus", kind)["metadata"]["labels"]
        assert labels["release"] == "kube-prometheus-stack"
    values = read("monitoring/prometheus/adapter.yaml")["prometheus"]
    server = f"{values['url']}:{values['port']}"
    triggers = only("keda", "ScaledObject")["spec"]["triggers"]
    assert triggers[0]["metadata"]["serverAddress"] == server


def test_the_gateway_lets_in_what_the_ingress_does() -> None:
    route = read("components/gateway/httproute.yaml")["spec"]
    (rule,) = route["rules"]
    paths = [(match["path"]["type"], match["path"]["value"]) for match in rule["matches"]]
    assert paths == [("Exact", path) for path in PHOTO_PATHS]
    (backend,) = rule["backendRefs"]
    service = only("cpu", "Service")
    assert backend["name"] == service["metadata"]["name"]
    assert backend["port"] == service["spec"]["ports"][0]["port"]
    with pytest.raises(jsonschema.ValidationError):
        check({**read("components/gateway/httproute.yaml"), "spec": {**route, "rule": []}})
    (ingress,) = read("components/ingress/ingress.yaml")["spec"]["rules"]
    assert route["hostnames"] == [ingress["host"]]
    fields = Settings.model_fields
    longest = fields["upload_timeout_s"].default + fields["longest_wait_s"].default
    assert int(rule["timeouts"]["request"].removesuffix("s")) > longest


def test_a_plain_cluster_scales_by_cpu_and_shrinks_again() -> None:
    """With a metric that is missing, Kubernetes would remove no pod."""
    hpa = only("cpu", "HorizontalPodAutoscaler")["spec"]
    (metric,) = hpa["metrics"]
    assert metric["resource"]["name"] == "cpu"
    target = milli(metric["resource"]["target"]["averageValue"])
    least, most = int(hpa["minReplicas"]), int(hpa["maxReplicas"])

    def wanted(cores: float) -> int:
        return min(most, max(least, math.ceil(cores / target)))

    # Two busy pods use all of their limit; idle pods use nearly nothing.
    (container,) = containers(pod("cpu"))
    limit = milli(container["resources"]["limits"]["cpu"])
    assert wanted(least * limit) > least
    assert wanted(most * limit) == most
    assert wanted(most * 0.03) == least
    down = hpa["behavior"]["scaleDown"]
    assert down.get("selectPolicy") != "Disabled"
    assert all(policy["value"] >= 1 for policy in down["policies"])


def test_arm_nodes_get_the_image_without_paddle_and_fetch_their_model() -> None:
    spec = pod("arm")
    assert spec["nodeSelector"] == {"kubernetes.io/arch": "arm64"}
    images = {one["image"] for one in containers(spec)}
    assert len(images) == 1
    assert images.pop().endswith("-arm64")
    assert [one["name"] for one in spec["initContainers"]] == ["model"]
    config = only("arm", "ConfigMap")["data"]
    # The image itself names its engine.
    assert "CLASSIFIER_ENGINE" not in config
    assert config["MODEL_URL"].startswith("https://")
