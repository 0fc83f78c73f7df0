"""The manifests as kustomize renders them, and the parts that tests look at."""

import json
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
K8S = ROOT / "k8s"
KUBECTL = os.environ.get("KUBECTL", str(ROOT / ".venv/kubectl"))
OVERLAYS = ("cpu", "gpu", "keda", "prometheus")

Object = dict[str, Any]


def render(folder: Path) -> tuple[Object, ...]:
    """Return the objects that kustomize makes of a folder."""
    text = subprocess.check_output([KUBECTL, "kustomize", str(folder)], text=True)
    return tuple(yaml.safe_load_all(text))


@cache
def rendered(overlay: str) -> tuple[Object, ...]:
    """Return the objects of an overlay."""
    return render(K8S / "overlays" / overlay)


def with_component(name: str, folder: Path) -> tuple[Object, ...]:
    """Return the objects of the overlay `cpu` with a component, put together in `folder`."""
    k8s = Path(os.path.relpath(K8S, folder.resolve()))
    parts = {
        "resources": [str(k8s / "overlays/cpu")],
        "components": [str(k8s / "components" / name)],
    }
    (folder / "kustomization.yaml").write_text(json.dumps(parts))
    return render(folder)


def only(overlay: str, kind: str) -> Object:
    """Return the one object of a kind."""
    (found,) = (one for one in rendered(overlay) if one["kind"] == kind)
    return found


def pod(overlay: str) -> Object:
    """Return the spec of the pods."""
    spec: Object = only(overlay, "Deployment")["spec"]["template"]["spec"]
    return spec


def container(overlay: str) -> Object:
    """Return the one container of a pod."""
    (found,) = pod(overlay)["containers"]
    return dict(found)


def read(path: str) -> Object:
    """Return a file that kustomize has no part in."""
    found: Object = yaml.safe_load((K8S / path).read_text())
    return found


def kserve() -> Object:
    """Return what KServe makes pods of; all but its own keys is a pod's spec."""
    predictor: Object = read("kserve/inferenceservice.yaml")["spec"]["predictor"]
    own = ("minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "timeout")
    return {key: value for key, value in predictor.items() if key not in own}
