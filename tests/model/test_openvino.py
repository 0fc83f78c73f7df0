"""The engine OpenVINO gives the same answers as Paddle from the same bundle, without Paddle."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage
import yaml
from running import process_name

from app import cli
from app.bench.measure.processes import descendants
from app.errors import BundleError, StartupError
from app.images.decoding import decode
from app.model.bundle import CONFIG, ONNX, OPENVINO, OPENVINO_WEIGHTS, load_bundle, sha256
from app.model.engine import Engine
from app.settings import FLOAT32, Settings
from app.telemetry.metrics import Metrics
from app.training.network.openvino import add_openvino
from app.workers.pool import WorkerPool

TESTS = Path(__file__).parents[1]
PHOTOS = Path(skimage.__file__).parent / "data"
FILES = (OPENVINO, OPENVINO_WEIGHTS)


def with_openvino(bundle: Path, directory: Path) -> Path:
    """Return a copy of the bundle that also has the files for OpenVINO."""
    copy = shutil.copytree(bundle, directory)
    assert add_openvino(copy) == copy / OPENVINO
    return copy


@pytest.fixture(scope="module")
def openvino_bundle(small_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_openvino(small_bundle, tmp_path_factory.mktemp("openvino") / "small")


@pytest.fixture
def bundle(openvino_bundle: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return shutil.copytree(openvino_bundle, tmp_path / "bundle")


@pytest.mark.parametrize("count", [1, 2, 5])
def test_it_answers_as_paddle_does(openvino_bundle: Path, count: int) -> None:
    colours = np.random.default_rng(1).integers(0, 256, (count, 4, 4, 3), np.uint8)
    images = colours.repeat(16, axis=1).repeat(16, axis=2)  # (count, 64, 64, 3)
    checked = load_bundle(openvino_bundle)
    expected = Engine(checked).infer(images)
    scores = Engine(checked, engine="openvino").infer(images)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, atol=1e-4)


def test_several_threads_and_freed_memory_change_no_answer(openvino_bundle: Path) -> None:
    checked = load_bundle(openvino_bundle)
    images = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3), np.uint8)
    engine = Engine(checked, threads=2, engine="openvino")
    before = engine.infer(images)
    engine.release()
    np.testing.assert_array_equal(engine.infer(images), before)
    np.testing.assert_allclose(before, Engine(checked).infer(images), atol=1e-4)


@pytest.mark.slow
def test_real_photos_get_the_same_answers(default_bundle: Path, tmp_path: Path) -> None:
    # Where a processor has bfloat16, only float32 by command gives these answers.
    checked = load_bundle(with_openvino(default_bundle, tmp_path / "bundle"))
    names = ("chelsea.png", "coffee.png", "rocket.jpg", "camera.png", "motorcycle_left.png")
    photos = [decode((PHOTOS / name).read_bytes(), checked.preprocessing, 10**8) for name in names]
    images = np.stack([photo.pixels for photo in photos])
    expected = Engine(checked).infer(images)
    scores = Engine(checked, engine="openvino").infer(images)
    assert scores.argmax(1).tolist() == expected.argmax(1).tolist()
    np.testing.assert_allclose(scores, expected, atol=1e-4)


def test_the_rest_of_the_bundle_stays_and_the_hashes_are_recorded(
    small_bundle: Path, openvino_bundle: Path
) -> None:
    before, after = (
        yaml.safe_load((bundle / CONFIG).read_text("utf-8"))
        for bundle in (small_bundle, openvino_bundle)
    )
    for name in FILES:
        assert after["Provenance"]["sha256"].pop(name) == sha256(openvino_bundle / name)
    assert after == before
    assert {file.name for file in openvino_bundle.iterdir()} == {
        *(file.name for file in small_bundle.iterdir()),
        *FILES,
    }
    assert load_bundle(openvino_bundle).version == load_bundle(small_bundle).version


@pytest.mark.parametrize("name", FILES)
def test_another_network_in_its_place_is_noticed(bundle: Path, name: str) -> None:
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)
    with pytest.raises(BundleError, match=rf"{name} .*SHA-256 differs"):
        load_bundle(bundle)


def test_a_bundle_without_the_file_says_how_to_get_it(small_bundle: Path, tmp_path: Path) -> None:
    directory = shutil.copytree(small_bundle, tmp_path / "a bundle")
    message = rf"has no {OPENVINO}: run `\.venv/bin/python -m app weights openvino '{directory}'`"
    with pytest.raises(StartupError, match=message):
        Engine(load_bundle(directory), engine="openvino")


def test_a_damaged_file_is_one_line(bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = yaml.safe_load((bundle / CONFIG).read_text("utf-8"))
    del config["Provenance"]["sha256"]
    (bundle / CONFIG).write_text(yaml.safe_dump(config), "utf-8")
    (bundle / OPENVINO).write_text((bundle / OPENVINO).read_text()[:-100])
    with pytest.raises(StartupError, match=f"^OpenVINO cannot load .*{OPENVINO}$"):
        Engine(load_bundle(bundle), engine="openvino")
    assert capfd.readouterr() == ("", "")


def test_it_has_no_gpu(openvino_bundle: Path) -> None:
    with pytest.raises(StartupError, match="on the CPU only"):
        Engine(load_bundle(openvino_bundle), "gpu", engine="openvino")


def test_where_the_library_is_missing_it_is_named(
    openvino_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("openvino_engine", "openvino_core"):
        monkeypatch.delitem(sys.modules, f"app.model.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(StartupError, match="the engine is openvino, but it is not installed"):
        Engine(load_bundle(openvino_bundle), engine="openvino")


def test_it_sends_no_telemetry(openvino_bundle: Path, tmp_path: Path) -> None:
    """By default OpenVINO writes an identity to the home directory and sends each import."""
    program = (
        "import sys; from pathlib import Path; from app.model.bundle import load_bundle; "
        "from app.model.engine import Engine; "
        "Engine(load_bundle(Path(sys.argv[1])), engine='openvino'); "
        "print(*(name for name in sys.modules if name.startswith('openvino_telemetry.')))"
    )
    environment = os.environ | {"HOME": str(tmp_path), "CI": ""}
    loaded = subprocess.check_output(
        [sys.executable, "-c", program, str(openvino_bundle)], env=environment, text=True
    )
    assert loaded.split() == []
    assert list(tmp_path.iterdir()) == []


def worker() -> Path:
    """Return the folder of the only worker in /proc."""
    (pid,) = (pid for pid in descendants(os.getpid()) if process_name(pid) == "worker")
    return Path(f"/proc/{pid}")


@pytest.mark.anyio
@pytest.mark.parametrize("threads", [1, 2])
async def test_a_worker_answers_and_loads_its_own_library_only(
    openvino_bundle: Path, threads: int
) -> None:
    checked = load_bundle(openvino_bundle)
    photos = list(np.random.default_rng(1).integers(0, 256, (3, 64, 64, 3), np.uint8))
    settings = Settings(engine="openvino", workers=1, threads_per_worker=threads, max_batch_size=4)
    async with WorkerPool(checked, settings, Metrics()) as pool:
        one = pool.take()
        assert one
        # The worker pads these three photos to a batch of 4.
        scores, _ = await one.infer([pool.slots.put(photo) for photo in photos])
        loaded = (worker() / "maps").read_text()
        tasks = len(list((worker() / "task").iterdir()))
    np.testing.assert_allclose(scores, Engine(checked).infer(np.stack(photos)), atol=1e-4)
    assert "openvino" in loaded
    assert "libpaddle" not in loaded
    if threads == 1:
        # It is a fork of a process that has compiled the network, and needs no thread of its own.
        assert tasks == 1


@pytest.mark.anyio
async def test_without_a_set_size_a_worker_tries_batches_up_to_four(openvino_bundle: Path) -> None:
    settings = Settings(engine="openvino", workers=1)
    async with WorkerPool(load_bundle(openvino_bundle), settings, Metrics()) as pool:
        assert set(pool.batch_cap.seconds) <= {1, 2, 4}


OLDER = "import sys, networks; networks.export_small(networks.Path(sys.argv[1]))"


@pytest.mark.slow
def test_openvino_itself_reads_the_older_graph_file(tmp_path: Path) -> None:
    # Paddle reads the flag when it is imported, so another process has to export.
    env = {**os.environ, "FLAGS_enable_pir_api": "0", "PYTHONPATH": str(TESTS)}
    subprocess.run([sys.executable, "-c", OLDER, str(tmp_path / "older")], env=env, check=True)
    assert load_bundle(tmp_path / "older").graph.suffix == ".pdmodel"
    add_openvino(tmp_path / "older")
    bundle = load_bundle(tmp_path / "older")
    images = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3), np.uint8)
    scores = Engine(bundle, engine="openvino").infer(images)
    np.testing.assert_allclose(scores, Engine(bundle).infer(images), atol=1e-4)


def test_auto_takes_what_is_installed_and_has_its_file(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {FLOAT32["openvino"], FLOAT32["onnxruntime"]} == {OPENVINO, ONNX}
    monkeypatch.setenv("CLASSIFIER_ENGINE", "auto")
    assert Settings(model_dir=bundle).engine == "openvino"
    assert Settings(model_dir=bundle, device="gpu").engine == "paddle"
    (bundle / OPENVINO).unlink()
    assert Settings(model_dir=bundle).engine == "paddle"
    (bundle / ONNX).touch()
    assert Settings(model_dir=bundle).engine == "onnxruntime"
    monkeypatch.setattr("app.settings.find_spec", lambda _: None)
    assert Settings(model_dir=bundle).engine == "paddle"


def test_the_command_adds_it(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (bundle / OPENVINO).stat().st_ino
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["app", "weights", "openvino", str(bundle)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    assert not ended.value.code
    assert capsys.readouterr().out.splitlines()[-1] == f"built {bundle / OPENVINO}"
    assert (bundle / OPENVINO).stat().st_ino != before
    load_bundle(bundle)
