"""The image with the limits of a small pod: its files, how it serves, and how it stops."""

import io
import re
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import httpx
import pytest
import skimage
from containers import CAT, IMAGE, Container, best_label, inspect, run
from PIL import Image
from running import until

from app import __version__
from app.images import heif

# The image's own Python prints which of these modules it can import.
IMPORTABLE = """
import importlib.util as u
print(*(name for name in {names} if u.find_spec(name)))
"""
# The image's own Python prints the folders that its user could write to.
WRITABLE = """
import os, pathlib
print(*(p for p in ("/", "/srv", "/srv/app", "/opt/venv", "/etc") if os.access(p, os.W_OK)))
"""


@pytest.fixture(scope="module")
def container() -> Iterator[Container]:
    """One container for all tests that do not stop it."""
    running = Container()
    try:
        running.wait_healthy()
        yield running
    finally:
        running.remove()


def test_it_starts_within_limits_and_names_the_cat() -> None:
    started = time.monotonic()
    container = Container()
    try:
        until(lambda: _ready(container.url))
        print(f"\nready after {time.monotonic() - started:.1f} s")
        container.wait_healthy()
        assert best_label(container.url) == "tiger cat"
        page = httpx.get(container.url, headers={"Accept": "text/html"})
        assert page.text.startswith("<!doctype html>")
        assert container.stop() == 0
    finally:
        container.remove()


def test_it_lives_through_a_burst(container: Container) -> None:
    photos = [CAT, *(path.read_bytes() for path in _photographs())]
    costly = _costly()
    with ThreadPoolExecutor(48) as crowd, httpx.Client(base_url=container.url, timeout=60) as http:
        answers = list(crowd.map(lambda i: _status(http, photos[i % len(photos)]), range(200)))
        # Six of the costliest photos that are admitted come at once: too many for the memory.
        answers += crowd.map(lambda _: _status(http, costly), range(6))
    print(f"\n{dict(Counter(answers))}; memory {_memory(container)}")
    # If the service cannot keep up, it refuses or reports a missed deadline.
    assert set(answers) <= {200, 429, 504}
    # As many as there are permits are answered even if the machine is slow.
    assert answers.count(200) >= 32
    assert best_label(container.url) == "tiger cat"
    assert inspect(container.id, ".State.OOMKilled") is False


def test_it_reads_heic(container: Container) -> None:
    assert heif.available()
    file = io.BytesIO()
    Image.open(io.BytesIO(CAT)).save(file, "HEIF")
    answer = httpx.post(f"{container.url}/predict", files={"file": file.getvalue()})
    assert answer.json()["image"]["format"] == "HEIF"
    # The two are nearly equally likely, and the encoder changes the photo a little.
    assert answer.json()["predictions"][0]["label"] in {"tiger cat", "Egyptian cat"}


def test_it_runs_as_nobody_who_can_change_it(container: Container) -> None:
    assert container.execute("id", "-u") == "10001"
    assert container.execute("python", "-c", WRITABLE) == ""
    assert container.execute("sh", "-c", "grep CapEff /proc/1/status").split() == [
        "CapEff:",
        "0" * 16,
    ]


def test_it_carries_only_what_serving_needs(container: Container) -> None:
    names = (
        "paddleclas",
        "h5py",
        "grpc",
        "opentelemetry.sdk",
        "pytest",
        "skimage",
        "app.training",
        "app.bench",
    )
    carried = ("app.main", "app.delivery.pull", "pillow_heif")
    script = IMPORTABLE.format(names=(*carried, *names))
    assert container.execute("python", "-c", script) == " ".join(carried)
    assert container.execute("python", "-c", "import sys; print(sys.prefix)") == "/opt/venv"
    for command in ("gcc", "cc", "make", "git", "curl"):
        assert container.execute("sh", "-c", f"command -v {command} || true") == ""
    assert container.execute("sh", "-c", "ls /opt/venv/bin | grep pip || true") == ""
    assert container.execute("sh", "-c", "find /opt/venv -type d -name tests") == ""
    assert container.execute("ls", "/srv") == "app\nweights"


def test_its_labels_and_signals() -> None:
    labels = inspect(IMAGE, ".Config.Labels")
    prefix = "org.opencontainers.image."
    assert labels[f"{prefix}version"] == __version__
    names = {name.removeprefix(prefix) for name, value in labels.items() if value}
    assert names >= {
        *("base.name", "created", "description", "documentation", "licenses", "revision"),
        *("source", "title", "version"),
    }
    assert re.fullmatch(r"[0-9a-f]{40}", labels[f"{prefix}revision"])
    assert datetime.fromisoformat(labels[f"{prefix}created"]).tzinfo
    # The image reads HEIC, with a package that has parts under the LGPL and the GPL.
    licences = set(labels[f"{prefix}licenses"].split(" AND "))
    assert licences == {"Apache-2.0", "BSD-3-Clause", "LGPL-3.0-or-later", "GPL-2.0-or-later"}
    assert inspect(IMAGE, ".Config.StopSignal") == "SIGTERM"
    assert inspect(IMAGE, ".Config.Entrypoint") == ["python", "-m", "app"]
    assert inspect(IMAGE, ".Config.User") == "10001:10001"


def test_no_package_index_is_written_down() -> None:
    history = run("docker", "history", "--no-trunc", "--format", "{{.CreatedBy}}", IMAGE)
    environment = " ".join(inspect(IMAGE, ".Config.Env"))
    assert "PIP_" not in history + environment


def test_its_size() -> None:
    size = inspect(IMAGE, ".Size")
    print(f"\nsize {size / 1e6:.0f} MB")
    assert size < 1_100_000_000


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready").is_success
    except httpx.TransportError:
        return False


def _photographs() -> list[Path]:
    data = Path(skimage.__file__).parent / "data"
    return [data / name for name in ("coffee.png", "rocket.jpg", "motorcycle_left.png")]


def _costly() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (5000, 5000), "teal").save(file, "WEBP", method=0)
    return file.getvalue()


def _status(http: httpx.Client, photo: bytes) -> int:
    return http.post("/predict", files={"file": photo}).status_code


def _memory(container: Container) -> str:
    return run("docker", "stats", "--no-stream", "--format", "{{.MemUsage}}", container.id)
