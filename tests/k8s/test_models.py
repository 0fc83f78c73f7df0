"""A bundle that comes by an init container, on a claim or as an image; and a canary."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer
from manifests import ROOT, Object, documented, only, rendered, with_component
from restricted import containers, violations
from test_agreement import settings, size
from test_schemas import check

from app import cli

URL = f"https://models.example.com/flowers.tar#sha256={'0' * 64}"
COMPONENTS = ("model-pull", "model-claim", "model-image")


def deployment(objects: tuple[Object, ...]) -> Object:
    """Return the spec of the only Deployment's pods."""
    (found,) = (one for one in objects if one["kind"] == "Deployment")
    spec: Object = found["spec"]["template"]["spec"]
    return spec


def of_kind(objects: tuple[Object, ...], kind: str) -> Object:
    (found,) = (one for one in objects if one["kind"] == kind)
    return found


def with_model(component: str, folder: Path) -> tuple[Object, ...]:
    """Return the objects of the overlay `cpu` with a component and one value of the operator."""
    images = [
        {"name": "photo-classifier", "newName": "registry.example.com/photos", "newTag": "9"},
        {"name": "photo-classifier-model", "newName": "registry.example.com/flowers"},
    ]
    literals = [f"MODEL_URL={URL}"] if component == "model-pull" else []
    config = {"name": "photo-classifier", "behavior": "merge", "literals": literals}
    return with_component(component, folder, images=images, configMapGenerator=[config])


@pytest.fixture(params=COMPONENTS)
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Object, ...]:
    return with_model(request.param, tmp_path)


@pytest.fixture
def pulling(tmp_path: Path) -> tuple[Object, ...]:
    return with_model("model-pull", tmp_path)


def assert_restricted(spec: Object) -> None:
    assert violations(spec) == []
    for container in containers(spec):
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        for resources in (container["resources"]["requests"], container["resources"]["limits"]):
            assert {"cpu", "memory"} <= set(resources)


def test_every_object_has_its_form_and_no_kind_is_new(objects: tuple[Object, ...]) -> None:
    for thing in objects:
        check(thing)
    assert {thing["kind"] for thing in objects} == {thing["kind"] for thing in rendered("cpu")}


def test_the_pods_stay_restricted(objects: tuple[Object, ...]) -> None:
    assert_restricted(deployment(objects))


def test_the_service_reads_its_model_from_the_volume(
    objects: tuple[Object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    (served,) = deployment(objects)["containers"]
    model_dir = settings(monkeypatch, of_kind(objects, "ConfigMap")["data"]).model_dir
    (mount,) = (one for one in served["volumeMounts"] if one["name"].startswith("model"))
    assert mount["readOnly"] is True
    assert model_dir.is_relative_to(mount["mountPath"])


def test_the_init_container_pulls_to_where_the_service_reads(
    pulling: tuple[Object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    (init,) = deployment(pulling)["initContainers"]
    config = of_kind(pulling, "ConfigMap")
    assert init["envFrom"] == [{"configMapRef": {"name": config["metadata"]["name"]}}]
    arguments = [
        value.replace("$(MODEL_URL)", config["data"]["MODEL_URL"]) for value in init["args"]
    ]
    command: Any = typer.main.get_command(cli.app)
    for word in (arguments.pop(0), arguments.pop(0)):
        command = command.commands[word]
    chosen = command.make_context("pull", arguments).params
    assert chosen["url"] == URL
    assert chosen["to"] == settings(monkeypatch, config["data"]).model_dir
    # The volume holds the tar file and the unpacked bundle. The link lies on the volume, too.
    (mount,) = init["volumeMounts"]
    assert chosen["to"].parent == Path(mount["mountPath"])
    (volume,) = (one for one in deployment(pulling)["volumes"] if one["name"] == mount["name"])
    assert size(volume["emptyDir"]["sizeLimit"]) >= 2 * chosen["max_bytes"]


def test_both_containers_are_of_the_same_image(pulling: tuple[Object, ...]) -> None:
    images = {one["image"] for one in containers(deployment(pulling))}
    assert images == {"registry.example.com/photos:9"}


def test_the_pull_makes_no_pod_larger(pulling: tuple[Object, ...]) -> None:
    """A pod requests the larger of what its init containers and its containers request."""
    (init,), (served,) = (deployment(pulling)[key] for key in ("initContainers", "containers"))
    ours, theirs = (one["resources"]["requests"] for one in (init, served))
    assert size(ours["memory"]) <= size(theirs["memory"])
    assert int(ours["cpu"].rstrip("m")) <= int(theirs["cpu"].rstrip("m"))


def test_the_pods_may_reach_the_web_server_and_nothing_more(pulling: tuple[Object, ...]) -> None:
    (out,) = of_kind(pulling, "NetworkPolicy")["spec"]["egress"]
    assert {(rule["protocol"], rule["port"]) for rule in out["ports"]} == {
        ("TCP", 443), ("TCP", 53), ("UDP", 53),
    }  # fmt: skip


@pytest.mark.parametrize("component", ["model-claim", "model-image"])
def test_without_a_pull_the_pods_reach_nothing(component: str, tmp_path: Path) -> None:
    objects = with_model(component, tmp_path)
    assert of_kind(objects, "NetworkPolicy")["spec"]["egress"] == []
    assert "initContainers" not in deployment(objects)


def test_a_pull_and_traces_open_the_ports_of_both(tmp_path: Path) -> None:
    objects = with_component("model-pull", tmp_path, "traces")
    rules = of_kind(objects, "NetworkPolicy")["spec"]["egress"]
    assert {443, 4318} <= {port["port"] for rule in rules for port in rule["ports"]}


def test_the_documented_overlay_pulls_its_model(tmp_path: Path) -> None:
    objects = documented(ROOT / "docs/operate/models.md", tmp_path)
    for thing in objects:
        check(thing)
    images = {one["image"] for one in containers(deployment(objects))}
    assert images == {"registry.example.com/photo-classifier:0.2.0"}
    assert of_kind(objects, "ConfigMap")["data"]["MODEL_URL"].startswith("https://HOST/flowers")


def test_one_value_starts_a_rollout(tmp_path: Path) -> None:
    names = set()
    for number, digest in enumerate(("0" * 64, "1" * 64)):
        folder = tmp_path / str(number)
        folder.mkdir()
        literals = [f"MODEL_URL=https://models.example.com/flowers.tar#sha256={digest}"]
        config = {"name": "photo-classifier", "behavior": "merge", "literals": literals}
        objects = with_component("model-pull", folder, configMapGenerator=[config])
        names.add(deployment(objects)["containers"][0]["envFrom"][0]["configMapRef"]["name"])
    assert len(names) == 2


def test_an_image_is_one_value(tmp_path: Path) -> None:
    (volume, _) = deployment(with_model("model-image", tmp_path))["volumes"]
    assert volume["image"]["reference"] == "registry.example.com/flowers:1"


def test_the_canary_differs_only_by_its_model_and_number() -> None:
    ours, theirs = only("canary", "Deployment"), only("prometheus", "Deployment")
    assert ours["metadata"]["name"] == "photo-classifier-canary"
    (served,), (stable,) = (one["spec"]["template"]["spec"]["containers"] for one in (ours, theirs))
    for key in ("env", "livenessProbe", "ports", "readinessProbe", "resources", "startupProbe"):
        assert served[key] == stable[key], key
    config, settled = only("canary", "ConfigMap")["data"], only("prometheus", "ConfigMap")["data"]
    assert config.items() >= settled.items()
    assert config.keys() - settled.keys() == {"CLASSIFIER_MODEL_DIR", "MODEL_URL"}
    (source,) = served["envFrom"]
    assert source["configMapRef"]["name"] == only("canary", "ConfigMap")["metadata"]["name"]
    assert (
        ours["spec"]["template"]["spec"]["serviceAccountName"]
        == (only("prometheus", "ServiceAccount")["metadata"]["name"])
    )
    assert_restricted(ours["spec"]["template"]["spec"])


def test_one_service_and_one_budget_hold_both_tracks_and_each_deployment_its_own() -> None:
    pods = {
        track: only(overlay, "Deployment")["spec"]["template"]["metadata"]["labels"]
        for track, overlay in (("stable", "prometheus"), ("canary", "canary"))
    }
    for track, labels in pods.items():
        assert labels["track"] == track
        for selector in (
            only("prometheus", "Service")["spec"]["selector"],
            only("prometheus", "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        ):
            assert selector.items() <= labels.items()
    for overlay, other in (("prometheus", "canary"), ("canary", "stable")):
        selector = only(overlay, "Deployment")["spec"]["selector"]["matchLabels"]
        assert not selector.items() <= pods[other].items()


def test_taking_the_canary_back_takes_nothing_of_the_service() -> None:
    ours = {
        (one["kind"], one["metadata"]["name"].split("-canary")[0]) for one in rendered("canary")
    }
    assert {kind for kind, _ in ours} == {"ConfigMap", "Deployment", "NetworkPolicy"}
    names = {one["metadata"]["name"] for one in rendered("canary")}
    assert not names & {one["metadata"]["name"] for one in rendered("prometheus")}


def test_the_documented_trial_is_a_tenth_of_the_pods() -> None:
    pages = (ROOT / "docs/operate/rollout.md").read_text()
    (beside,) = re.findall(r'"minReplicas": (\d+)', pages)
    canary = only("canary", "Deployment")["spec"]["replicas"]
    assert canary / (canary + int(beside)) == pytest.approx(0.1)
    assert int(beside) <= only("prometheus", "HorizontalPodAutoscaler")["spec"]["maxReplicas"]
