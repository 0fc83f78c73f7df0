"""The pods pass Kubernetes's strictest pod security standard and have resource limits."""

import re
import subprocess
from pathlib import Path

import pytest
from manifests import OVERLAYS, ROOT, Object, kserve, pod, rendered


@pytest.fixture(params=(*OVERLAYS, "kserve"))
def spec(request: pytest.FixtureRequest) -> Object:
    return kserve() if request.param == "kserve" else pod(request.param)


def test_restricted(spec: Object) -> None:
    """The pods have all fields that the standard "restricted" requires, and no forbidden ones."""
    (container,) = spec["containers"]
    security = container["securityContext"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert not {"privileged", "procMount", "runAsUser", "seccompProfile"} & set(security)
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(spec)
    assert all("hostPort" not in port for port in container["ports"])
    assert {*(key for volume in spec["volumes"] for key in volume)} == {"name", "emptyDir"}


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
