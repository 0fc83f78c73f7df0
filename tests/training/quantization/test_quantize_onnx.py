"""`weights quantize --engine onnxruntime-int8`: convolutions of 8 bits for ONNX Runtime."""

import shutil
from multiprocessing import Pipe
from multiprocessing.heap import BufferWrapper
from pathlib import Path

import numpy as np
import pytest
from commands import Run
from networks import export_small, shallow_network, small_card, without_hashes

from app import host
from app.errors import BundleError, StartupError
from app.model.bundle import ONNX, ONNX_INT8, load_bundle, sha256
from app.model.engine import Engine
from app.model.features import FeatureNetwork
from app.settings import Int8Engine, Settings
from app.telemetry.metrics import Metrics
from app.training.data.loader import PhotoReader, View
from app.training.network.export import export
from app.training.quantization.quantize import quantize
from app.workers.child import work
from app.workers.messages import WorkerConfig
from app.workers.pool import WorkerPool

onnx = pytest.importorskip("onnx", reason="paddle2onnx has no wheel for this Python")
onnxruntime = pytest.importorskip("onnxruntime")

pytest_plugins = ["drawn_photos"]

MAX_PIXELS = 10**8
ENGINE: Int8Engine = "onnxruntime-int8"


@pytest.fixture(scope="module")
def int8_bundle(
    small_bundle: Path, photos: Path, labelled: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    directory = shutil.copytree(small_bundle, tmp_path_factory.mktemp("int8") / "small")
    quantize(directory, photos, labelled, MAX_PIXELS, engine=ENGINE)
    return directory


@pytest.fixture
def bundle(int8_bundle: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return shutil.copytree(int8_bundle, tmp_path / "bundle")


def operations(file: Path, folder: Path) -> list[str]:
    """Return the operations that ONNX Runtime makes of a network on this processor."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(file, options)
    return [node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node]


def convolutions(bundle: Path) -> int:
    """Return the number of convolutions in the bundle's network."""
    return sum(node.op_type == "Conv" for node in onnx.load(bundle / ONNX).graph.node)


def test_it_nearly_answers_as_in_float32(photos: Path, tmp_path: Path) -> None:
    export(shallow_network(), small_card(), tmp_path / "bundle")
    file, cost = quantize(tmp_path / "bundle", photos, None, MAX_PIXELS, (), ENGINE)
    assert cost.agreement == 1
    assert 0 < cost.kl < 1e-4
    checked = load_bundle(tmp_path / "bundle")
    paths = sorted(photos.rglob("*.png"))
    images = PhotoReader(checked.preprocessing, MAX_PIXELS, None).read([View(p) for p in paths])
    exact = Engine(checked, engine="onnxruntime").infer(images)
    scores = Engine(checked, engine=ENGINE).infer(images)
    # The scores of different photos differ far more.
    ratio = np.abs(scores - exact).mean() / np.abs(exact - exact.mean(axis=0)).mean()
    assert ratio < 0.1
    assert operations(file, tmp_path).count("QLinearConv") == 3


def test_convolutions_compute_with_integers(int8_bundle: Path, tmp_path: Path) -> None:
    found = operations(int8_bundle / ONNX_INT8, tmp_path)
    assert found.count("QLinearConv") == convolutions(int8_bundle) - 2
    # The first two stay in float32.
    assert found.count("Conv") + found.count("FusedConv") == 2


def test_its_file_is_smaller_and_recorded(small_bundle: Path, int8_bundle: Path) -> None:
    assert (int8_bundle / ONNX_INT8).stat().st_size < 0.5 * (int8_bundle / ONNX).stat().st_size
    checked = load_bundle(int8_bundle)
    assert checked.provenance["sha256"][ONNX_INT8] == sha256(int8_bundle / ONNX_INT8)
    made = checked.provenance["int8_onnxruntime"]
    assert (made["photos"], made["cost"]["photos"], made["float32_layers"]) == (60, 12, [1, 2])
    assert {"top1", "top1_float32", "agreement", "kl"} < set(made["cost"])
    assert list(checked.int8_golden) == [ENGINE]
    assert checked.golden == load_bundle(small_bundle).golden


def test_another_file_of_weights_is_noticed(
    bundle: Path, photos: Path, labelled: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    export_small(other, seed=1)
    quantize(other, photos, labelled, MAX_PIXELS, engine=ENGINE)
    shutil.copy(other / ONNX_INT8, bundle)
    with pytest.raises(BundleError, match=rf"{ONNX_INT8} .*SHA-256 differs"):
        load_bundle(bundle)
    without_hashes(bundle)
    with pytest.raises(StartupError, match="does not give the bundle's golden answers"):
        Engine(load_bundle(bundle), engine=ENGINE)
    # The same network in float32 is not concerned.
    Engine(load_bundle(bundle), engine="onnxruntime")


def test_the_network_in_float32_does_not_pass_for_it(bundle: Path) -> None:
    shutil.copy(bundle / ONNX, bundle / ONNX_INT8)
    without_hashes(bundle)
    with pytest.raises(StartupError, match="does not give the bundle's golden answers"):
        Engine(load_bundle(bundle), engine=ENGINE)


def test_a_bundle_without_the_file_says_how_to_get_it(small_bundle: Path, tmp_path: Path) -> None:
    directory = shutil.copytree(small_bundle, tmp_path / "bundle")
    words = rf"weights quantize --engine onnxruntime-int8 --photos DIR {directory}"
    with pytest.raises(StartupError, match=rf"has no {ONNX_INT8}: run `\S+ -m app {words}` once"):
        Engine(load_bundle(directory), engine=ENGINE)


def test_the_command_leaves_named_convolutions_in_float32(
    bundle: Path, photos: Path, labelled: Path, tmp_path: Path, run: Run
) -> None:
    command = ("weights", "quantize", bundle, "--photos", photos, "--test", labelled)
    ended = run(*command, "--engine", ENGINE, "--float32", "1", "--float32", "2", "--float32", "7")
    assert ended.code == 0
    assert f"built {bundle / ONNX_INT8}: on 12 photos that were not used to make it" in ended.out
    found = operations(bundle / ONNX_INT8, tmp_path)
    assert found.count("QLinearConv") == convolutions(bundle) - 3
    before = sha256(bundle / ONNX_INT8)
    ended = run(*command, "--engine", ENGINE, "--float32", "99")
    assert ended.code == 1
    assert f"there is no layer 99: the network has {convolutions(bundle)} conv" in ended.err
    assert sha256(bundle / ONNX_INT8) == before


def test_maps_and_vectors_are_those_in_float32(int8_bundle: Path) -> None:
    checked = load_bundle(int8_bundle)
    images = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3), np.uint8)
    exact = FeatureNetwork(checked, engine="onnxruntime")
    network = FeatureNetwork(checked, engine=ENGINE)
    np.testing.assert_array_equal(network(images).vectors, exact(images).vectors)
    maps = [one.activation_map(one(images), 0, 1).values for one in (network, exact)]
    np.testing.assert_array_equal(maps[0], maps[1])


@pytest.mark.anyio
async def test_workers_answer_with_it_where_it_pays(int8_bundle: Path) -> None:
    checked = load_bundle(int8_bundle)
    pixels = list(np.random.default_rng(1).integers(0, 256, (3, 64, 64, 3), np.uint8))
    settings = Settings(engine=ENGINE, workers=1, max_batch_size=4)
    if not host.multiplies_bytes():
        with pytest.raises(StartupError, match="needs a processor that multiplies integers"):
            await WorkerPool(checked, settings, Metrics()).__aenter__()
        return
    async with WorkerPool(checked, settings, Metrics()) as pool:
        worker = pool.take()
        assert worker
        scores, _ = await worker.infer([pool.slots.put(picture) for picture in pixels])
    expected = Engine(checked, engine=ENGINE).infer(np.stack(pixels))
    np.testing.assert_allclose(scores, expected, atol=5e-3)


def test_a_worker_refuses_a_processor_without_such_instructions(
    int8_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "multiplies_bytes", lambda: False)
    checked = load_bundle(int8_bundle)
    config = WorkerConfig(checked, ENGINE, "cpu", 1, 1, None, 1.0, 1, "info", "json")
    server, child = Pipe()
    work(child, BufferWrapper(64 * 64 * 3), config, None)
    refusal = server.recv()
    assert isinstance(refusal, StartupError)
    assert "onnxruntime is at least as fast" in str(refusal)
