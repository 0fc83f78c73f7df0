"""The images without Paddle: they are small, start quickly and give the same answers."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from containers import CAT, IMAGE, ROOT, Container, inspect, run
from running import until

ENGINES = ("openvino", "onnxruntime")
# On a quiet machine, a service is ready after 2 to 3 seconds of CPU. Beside a busy neighbour, each
# step takes up to a half longer, because caches and the processor's clock are shared.
READY_CPU_S = 4.5
# The clock ticks, a hundredth of a second each, of all processes and of those that have ended.
TICKS = "cat /proc/[0-9]*/stat | awk '{ticks += $14 + $15 + $16 + $17} END {print ticks}'"
# The sum of what each process holds, with what several share divided among them.
PSS = "cat /proc/[0-9]*/smaps_rollup 2>/dev/null | awk '/^Pss:/ {kib += $2} END {print kib}'"
IMPORTABLE = "import importlib.util as u; print(*(n for n in {names} if u.find_spec(n)))"


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def image(engine: str) -> str:
    """The engine's image, built as docs/operate/install.md says."""
    name = f"{IMAGE}-{engine}"
    build = f"BUILD=--build-arg ENGINE={engine}"
    run("make", "--directory", ROOT, "image", f"IMAGE={name}", build)
    return name


@pytest.fixture(scope="module")
def container(image: str) -> Iterator[Container]:
    started = time.monotonic()
    running = Container(image)
    try:
        until(lambda: _ready(running.url))
        seconds = time.monotonic() - started
        cpu_s = int(running.execute("sh", "-c", TICKS)) / 100
        print(f"\n{image}: ready after {seconds:.1f} s and {cpu_s:.1f} s of CPU")
        assert cpu_s < READY_CPU_S
        yield running
    finally:
        running.remove()


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready").is_success
    except httpx.TransportError:
        return False


def test_it_is_small(image: str) -> None:
    size = inspect(image, ".Size")
    print(f"\n{image}: {size / 1e6:.0f} MB")
    assert size < 400_000_000


def test_it_names_the_cat_as_paddle_does(container: Container, engine: str) -> None:
    answer = httpx.post(f"{container.url}/predict", files={"file": CAT}, timeout=30).json()
    best = answer["predictions"][0]
    assert best["label"] == "tiger cat"
    # Paddle's answer.
    assert best["score"] == pytest.approx(0.395, abs=1e-3)
    assert httpx.get(f"{container.url}/health").json()["engine"] == engine


def test_it_needs_little_memory(container: Container) -> None:
    def send(_: int) -> int:
        answer = httpx.post(f"{container.url}/predict", files={"file": CAT}, timeout=30)
        return answer.status_code

    with ThreadPoolExecutor(8) as crowd:
        assert set(crowd.map(send, range(100))) == {200}
    assert httpx.get(f"{container.url}/health").json()["workers_up"] == 2
    loaded = _megabytes(container)
    print(f"\n{loaded} MB with two workers just after a load")
    # Workers that are idle for two seconds give memory back.
    until(lambda: _megabytes(container) < 350)


def _megabytes(container: Container) -> int:
    return int(container.execute("sh", "-c", PSS)) * 1024 // 10**6


def test_without_a_bundle_it_serves_one_that_is_mounted(image: str, engine: str) -> None:
    """So it is built where Paddle has no wheel, as on Arm."""
    bare = f"{image}-bare"
    build = f"BUILD=--build-arg ENGINE={engine} --build-arg MODEL="
    run("make", "--directory", ROOT, "image", f"IMAGE={bare}", build)
    assert inspect(bare, ".Size") < inspect(image, ".Size") - 10_000_000
    volume = "/srv/weights/MobileNetV2_x1_0_keras"
    script = f"import shutil; shutil.copytree('{volume}', '/bundle', dirs_exist_ok=True)"
    # A new volume belongs to root.
    name = f"{engine}-bundle"
    mounted = ("--volume", f"{name}:/bundle", "--user", "0", "--entrypoint", "python")
    run("docker", "run", "--rm", *mounted, image, "-c", script)
    container = Container(bare, "--volume", f"{name}:/srv/weights:ro")
    try:
        until(lambda: _ready(container.url))
        answer = httpx.post(f"{container.url}/predict", files={"file": CAT}, timeout=30).json()
        assert answer["predictions"][0]["label"] == "tiger cat"
    finally:
        container.remove()
        run("docker", "volume", "rm", name)


def test_it_has_one_engine_only(container: Container, engine: str) -> None:
    script = IMPORTABLE.format(names=("paddle", "networkx", "h5py", *ENGINES))
    assert container.execute("python", "-c", script) == engine
