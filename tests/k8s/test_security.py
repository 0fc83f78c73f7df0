"""The pods pass Kubernetes's strictest pod security standard and have resource limits."""

import re
import subprocess
from pathlib import Path

import pytest
from manifests import OVERLAYS, PULLING, ROOT, Object, kserve, pod, rendered
from restricted import violations


@pytest.fixture(params=(*OVERLAYS, "kserve"))
def spec(request: pytest.FixtureRequest) -> Object:
    return kserve() if request.param == "kserve" else pod(request.param)


def test_restricted(spec: Object) -> None:
    assert violations(spec) == []
    assert {*(key for volume in spec["volumes"] for key in volume)} == {"name", "emptyDir"}


@pytest.mark.parametrize("overlay", PULLING)
def test_pods_that_pull_their_model_are_restricted(overlay: str) -> None:
    assert violations(pod(overlay)) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"allowPrivilegeEscalation": True}, "allowPrivilegeEscalation"),
        ({"capabilities": {"drop": []}}, "capabilities are kept"),
        ({"capabilities": {"drop": ["ALL"], "add": ["SYS_PTRACE"]}}, "capabilities are added"),
        ({"privileged": True}, "privileged"),
        ({"runAsNonRoot": False}, "runAsNonRoot"),
        ({"runAsUser": 0}, "runAsUser"),
        ({"seccompProfile": {"type": "Unconfined"}}, "seccompProfile"),
    ],
)
def test_a_container_with_more_rights_is_found(change: Object, fault: str) -> None:
    good = pod("cpu")
    (container,) = good["containers"]
    bad = container | {"securityContext": container["securityContext"] | change}
    assert violations(good | {"containers": [bad]}) == [f"classifier: {fault}"]


def test_a_pod_with_the_rights_of_its_node_is_found() -> None:
    good = pod("cpu")
    assert violations(good | {"hostNetwork": True}) == ["hostNetwork"]
    volumes = [*good["volumes"], {"name": "node", "hostPath": {"path": "/"}}]
    assert violations(good | {"volumes": volumes}) == ["volume hostPath"]


def test_read_only_but_for_tmp(spec: Object) -> None:
    (container,) = spec["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]  # noqa: S108
    assert all("sizeLimit" in volume["emptyDir"] for volume in spec["volumes"])


def test_no_token_and_no_variables_of_other_services(spec: Object) -> None:
    assert spec["automountServiceAccountToken"] is False
    # Kubernetes would set CLASSIFIER_PORT for a service with the name "classifier".
    assert spec["enableServiceLinks"] is False


def test_keys_come_from_a_secret_that_may_be_missing(spec: Object) -> None:
    (container,) = spec["containers"]
    keys = {one["name"]: one.get("valueFrom") for one in container["env"] if "KEY" in one["name"]}
    assert keys.keys() == {"CLASSIFIER_API_KEYS", "CLASSIFIER_ADMIN_KEY"}
    assert all(source and source["secretKeyRef"]["optional"] for source in keys.values())


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_manifest_holds_a_key(overlay: str) -> None:
    for thing in rendered(overlay):
        assert thing["kind"] != "Secret"
        assert not [name for name in thing.get("data", {}) if "KEY" in name]


def test_bounded(spec: Object) -> None:
    (container,) = spec["containers"]
    for resources in (container["resources"]["requests"], container["resources"]["limits"]):
        assert {"cpu", "memory"} <= set(resources)


def test_the_images_user_reads_what_was_cloned_under_a_narrow_umask(tmp_path: Path) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    (command,) = re.findall(r"^RUN (rm -rf app/(?:.*\\\n)*.*)", dockerfile, re.MULTILINE)
    module = tmp_path / "app/api/routes/health.py"
    module.parent.mkdir(parents=True)
    module.touch(mode=0o600)
    for folder in (module.parent, module.parents[1]):
        folder.chmod(0o700)
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
    assert module.stat().st_mode & 0o444 == 0o444
    assert all(folder.stat().st_mode & 0o555 == 0o555 for folder in module.parents[:2])
