"""The table of sizes, held to its rules and to the manifests."""

import math
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import pytest
from manifests import K8S, ROOT, Object, documented, kserve, read, rendered
from test_agreement import milli, size
from test_docs import rows

PAGE = ROOT / "docs/operate/size.md"
HEADER = (
    "| overlay | pods | CPU request | CPU limit | workers | decoders | memory request "
    "| memory limit | photos a second and pod |"
)
HALF_GIB = 2**29


class Size(NamedTuple):
    """A row of the table, as its cells are written."""

    overlay: str
    pods: str
    cpu_request: str
    cpu_limit: str
    workers: str
    decoders: str
    memory_request: str
    memory_limit: str
    photos: str

    @property
    def name(self) -> str:
        return self.overlay.split("`")[1]


SIZES = [Size(*row) for row in rows(PAGE, HEADER)]


@pytest.fixture(params=SIZES, ids=lambda row: str(row.name))
def row(request: pytest.FixtureRequest) -> Size:
    found: Size = request.param
    return found


def objects(name: str, folder: Path) -> dict[str, Object]:
    """Return the objects of an overlay, also of the one that the page lets the reader write."""
    things = documented(PAGE, folder) if name == "flowers" else rendered(name)
    return {one["kind"]: one for one in things}


def served(name: str, folder: Path) -> tuple[Object, dict[str, str], str]:
    """Return the resources of the service's container, its settings, and the number of pods."""
    if name == "kserve":
        (container,) = kserve()["containers"]
        predictor = read("kserve/inferenceservice.yaml")["spec"]["predictor"]
        settings = {one["name"]: one.get("value", "") for one in container["env"]}
        return container["resources"], settings, _span(predictor, "Replicas")
    found = objects(name, folder)
    deployment = found["Deployment"]["spec"]
    (container,) = deployment["template"]["spec"]["containers"]
    if "ScaledObject" in found:
        pods = _span(found["ScaledObject"]["spec"], "ReplicaCount")
    elif "HorizontalPodAutoscaler" in found:
        pods = _span(found["HorizontalPodAutoscaler"]["spec"], "Replicas")
    else:
        pods = str(deployment["replicas"])
    return container["resources"], found["ConfigMap"]["data"], pods


def _span(scale: Object, name: str) -> str:
    return f"{scale[f'min{name}']} to {scale[f'max{name}']}"


def test_the_table_has_each_overlay() -> None:
    overlays = {folder.name for folder in (K8S / "overlays").iterdir()} - {"flowers"}
    assert {row.name for row in SIZES} == overlays | {"kserve", "flowers"}


def test_the_manifests_have_the_sizes_of_the_table(row: Size, tmp_path: Path) -> None:
    resources, settings, pods = served(row.name, tmp_path)
    assert resources["requests"] == {"cpu": row.cpu_request, "memory": row.memory_request}
    limits = resources["limits"]
    assert (limits["cpu"], limits["memory"]) == (row.cpu_limit, row.memory_limit)
    assert settings["CLASSIFIER_DECODERS"] == row.decoders
    # The service itself starts as many workers as there are cores or GPUs.
    assert "CLASSIFIER_WORKERS" not in settings
    assert limits.get("nvidia.com/gpu", row.cpu_limit) == row.workers
    assert pods == row.pods


def test_the_memory_follows_from_the_processes(row: Size, tmp_path: Path) -> None:
    _, settings, _ = served(row.name, tmp_path)
    common, worker = (0.2e9, 0.1e9) if row.name == "arm" else (0.4e9, 0.2e9)
    decoders = int(row.decoders) * int(settings["CLASSIFIER_MAX_PIXELS"]) * 18
    needed = common + (int(row.workers) + 1) * worker + decoders
    rounded = math.ceil(needed / HALF_GIB) * HALF_GIB
    assert size(row.memory_limit) >= rounded
    assert size(row.memory_limit) == rounded or row.name == "gpu"
    assert size(row.memory_request) <= size(row.memory_limit)


def test_the_photos_follow_from_the_cores(row: Size) -> None:
    measured = row.name not in {"arm", "gpu"}
    expected = str(50 * int(row.cpu_limit) * Fraction("0.6")) if measured else "not measured"
    assert row.photos == expected


def test_a_pod_requests_half_of_its_cores_or_less(row: Size) -> None:
    small = row.name in {"one-node", "cpu", "arm"}
    half = milli(row.cpu_limit) / 2
    assert milli(row.cpu_request) < half if small else milli(row.cpu_request) == half
    assert small or row.memory_request == row.memory_limit
