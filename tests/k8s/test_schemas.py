"""Every object passes the schema of the API server, which allows no unknown key."""

import json
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
from manifests import OVERLAYS, PULLING, Object, kserve, only, rendered, with_component

VERSION = "1.36"
CUSTOM = {
    path.stem: json.loads(path.read_text()) for path in Path(__file__).parent.glob("schemas/*.json")
}


def check(thing: Object) -> None:
    """Validate an object against its schema."""
    if thing["kind"] in CUSTOM:
        jsonschema.validate(thing, CUSTOM[thing["kind"]])
    else:
        kubernetes_validate.validate(thing, VERSION, strict=True)


@pytest.mark.parametrize("overlay", [*OVERLAYS, *PULLING])
def test_every_object_has_its_form(overlay: str) -> None:
    for thing in rendered(overlay):
        check(thing)


@pytest.mark.parametrize(("component", "kind"), [("gateway", "HTTPRoute"), ("ingress", "Ingress")])
def test_traffic_from_outside_can_be_added(tmp_path: Path, component: str, kind: str) -> None:
    added = with_component(component, tmp_path)
    (door,) = (one for one in added if one["kind"] == kind)
    check(door)


@pytest.mark.parametrize("component", ["allow-list", "grpc", "traces"])
def test_a_component_can_be_added_to_an_overlay(tmp_path: Path, component: str) -> None:
    added = with_component(component, tmp_path)
    for thing in added:
        check(thing)
    assert {thing["kind"] for thing in added} == {thing["kind"] for thing in rendered("cpu")}


def test_kserve_makes_valid_pods_of_it() -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": kserve()}
    check(pod)


def test_a_cluster_without_operators_knows_every_kind_of_cpu() -> None:
    assert not {thing["kind"] for thing in rendered("cpu")} & set(CUSTOM)


@pytest.mark.parametrize("overlay", ["gpu", "keda", "prometheus"])
def test_where_fullness_scales_it_is_scraped(overlay: str) -> None:
    assert only(overlay, "ServiceMonitor")


@pytest.mark.parametrize(
    ("overlay", "kind"),
    [("cpu", "Deployment"), ("keda", "ScaledObject"), ("prometheus", "ServiceMonitor")],
)
def test_a_key_that_does_not_exist_is_found(overlay: str, kind: str) -> None:
    thing = only(overlay, kind)
    with pytest.raises(jsonschema.ValidationError):
        check({**thing, "spec": {**thing["spec"], "intervall": 1}})
