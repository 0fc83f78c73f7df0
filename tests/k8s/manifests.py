"""The manifests as kustomize renders them, and the objects that tests check."""

import json
import os
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
K8S = ROOT / "k8s"
KUBECTL = os.environ.get("KUBECTL", str(ROOT / ".venv/kubectl"))
OVERLAYS = ("cpu", "gpu", "keda", "one-node", "prometheus")
# These pods fetch their model with an init container.
PULLING = ("arm", "canary")

Object = dict[str, Any]


def render(folder: Path) -> tuple[Object, ...]:
    """Return the objects that kustomize renders from a folder."""
    text = subprocess.check_output([KUBECTL, "kustomize", str(folder)], text=True)
    return tuple(yaml.safe_load_all(text))


@cache
def rendered(overlay: str) -> tuple[Object, ...]:
    """Return the objects of an overlay; the overlay is rendered only once."""
    return render(K8S / "overlays" / overlay)


def with_component(
    name: str,
    folder: Path,
    *others: str,
    overlay: str = "cpu",
    **more: Any,  # noqa: ANN401  (these are fields of a kustomization)
) -> tuple[Object, ...]:
    """Return the objects of an overlay with components; `folder` gets the kustomization."""
    k8s = Path(os.path.relpath(K8S, folder.resolve()))
    kustomization = {
        "resources": [str(k8s / "overlays" / overlay)],
        "components": [str(k8s / "components" / one) for one in (name, *others)],
        **more,
    }
    (folder / "kustomization.yaml").write_text(json.dumps(kustomization))
    return render(folder)


def documented(page: Path, folder: Path) -> tuple[Object, ...]:
    """Return the objects of the overlay that a page lets the reader write."""
    (text,) = re.findall(
        r"^# k8s/overlays/flowers/.*\n((?:.+\n)+?)```", page.read_text(), re.MULTILINE
    )
    kustomization = yaml.safe_load(text)
    for key in ("resources", "components"):
        paths = [(K8S / "overlays/flowers" / one).resolve() for one in kustomization.get(key, ())]
        kustomization[key] = [os.path.relpath(path, folder.resolve()) for path in paths]
    (folder / "kustomization.yaml").write_text(json.dumps(kustomization))
    return render(folder)


def only(overlay: str, kind: str) -> Object:
    """Return the only object of a kind."""
    (found,) = (one for one in rendered(overlay) if one["kind"] == kind)
    return found


def pod(overlay: str) -> Object:
    """Return the spec of an overlay's pods."""
    spec: Object = only(overlay, "Deployment")["spec"]["template"]["spec"]
    return spec


def container(overlay: str) -> Object:
    """Return the only container of an overlay's pods."""
    (found,) = pod(overlay)["containers"]
    return dict(found)


def read(path: str) -> Object:
    """Return the object of a file that no overlay contains."""
    found: Object = yaml.safe_load((K8S / path).read_text())
    return found


def kserve() -> Object:
    """Return the pod spec in the InferenceService, without the keys that are KServe's own."""
    predictor: Object = read("kserve/inferenceservice.yaml")["spec"]["predictor"]
    own = ("minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "timeout")
    return {key: value for key, value in predictor.items() if key not in own}
