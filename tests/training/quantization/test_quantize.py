"""`weights quantize` adds a network of 8 bits, says what it costs, and it is served as it is."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage
import sklearn
from commands import Run
from networks import export_small, shallow_network, small_card, without_hashes
from PIL import Image

from app.errors import BundleError, StartupError
from app.model.bundle import INT8, INT8_WEIGHTS, OPENVINO, load_bundle, sha256
from app.model.engine import Engine
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.training.data.loader import PhotoReader, View
from app.training.network.export import export
from app.training.quantization.quantize import FLOAT32_LAYERS, quantize
from app.workers.pool import WorkerPool

SHIPPED = Path(skimage.__file__).parent / "data"
CHINA = Path(sklearn.__file__).parent / "datasets" / "images" / "china.jpg"
pytest_plugins = ["drawn_photos"]

MAX_PIXELS = 10**8


@pytest.fixture(scope="module")
def int8_bundle(small_bundle: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = shutil.copytree(small_bundle, tmp_path_factory.mktemp("int8") / "small")
    quantize(directory, photos, None, MAX_PIXELS)
    return directory


@pytest.fixture
def bundle(int8_bundle: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return shutil.copytree(int8_bundle, tmp_path / "bundle")


def test_it_nearly_answers_as_in_float32(photos: Path, tmp_path: Path) -> None:
    export(shallow_network(), small_card(), tmp_path / "bundle")
    _, cost = quantize(tmp_path / "bundle", photos, None, MAX_PIXELS)
    assert cost.agreement == 1
    assert 0 < cost.kl < 1e-4
    checked = load_bundle(tmp_path / "bundle")
    paths = sorted(photos.rglob("*.png"))
    images = PhotoReader(checked.preprocessing, MAX_PIXELS, None).read([View(p) for p in paths])
    exact = Engine(checked, engine="openvino").infer(images)
    scores = Engine(checked, engine="openvino-int8").infer(images)
    # The scores of different photos differ far more.
    ratio = np.abs(scores - exact).mean() / np.abs(exact - exact.mean(axis=0)).mean()
    assert ratio < 0.1


def test_its_files_are_smaller_and_recorded(int8_bundle: Path) -> None:
    weights = (int8_bundle / INT8_WEIGHTS).stat().st_size
    assert weights < 0.4 * (int8_bundle / "inference.bin").stat().st_size
    provenance = load_bundle(int8_bundle).provenance
    for name in (INT8, INT8_WEIGHTS):
        assert provenance["sha256"][name] == sha256(int8_bundle / name)
    made = provenance["int8"]
    assert made["photos"] == made["cost"]["photos"] == 60
    low, high = made["cost"]["between"]
    assert low <= made["cost"]["agreement"] <= high
    assert 0 < made["cost"]["kl"] < 0.05
    assert "top1" not in made["cost"]
    assert len(made["golden"]) == 3


def test_the_network_in_float32_stays_what_it_is(small_bundle: Path, int8_bundle: Path) -> None:
    before, after = load_bundle(small_bundle), load_bundle(int8_bundle)
    assert after.version == before.version
    assert after.golden == before.golden


def test_layers_compute_with_integers(int8_bundle: Path) -> None:
    text = (int8_bundle / INT8).read_text()
    layers = text.count('type="Convolution"') + text.count('type="GroupConvolution"')
    assert layers > 50
    in_8_bits = layers + text.count('type="MatMul"') - len(FLOAT32_LAYERS)
    assert text.count('type="FakeQuantize"') == in_8_bits
    assert text.count('element_type="i8"') == in_8_bits


def test_named_layers_stay_in_float32(bundle: Path, photos: Path, labelled: Path, run: Run) -> None:
    command = ("weights", "quantize", bundle, "--photos", photos, "--test", labelled)
    before = (bundle / INT8).read_text().count('type="FakeQuantize"')
    for numbers, fewer in (([2, 4, 5], 1), ([0], -2)):
        words = [word for number in numbers for word in ("--float32", str(number))]
        assert run(*command, *words).code == 0
        assert (bundle / INT8).read_text().count('type="FakeQuantize"') == before - fewer
        exact = load_bundle(bundle).provenance["int8"]["float32_layers"]
        assert exact == [number for number in numbers if number]


def test_another_file_of_weights_is_noticed(
    bundle: Path, photos: Path, labelled: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    export_small(other, seed=1)
    quantize(other, photos, labelled, MAX_PIXELS)
    for name in (INT8, INT8_WEIGHTS):
        shutil.copy(other / name, bundle)
    with pytest.raises(BundleError, match=rf"{INT8} .*SHA-256 differs"):
        load_bundle(bundle)
    without_hashes(bundle)
    with pytest.raises(StartupError, match="does not give the bundle's golden answers"):
        Engine(load_bundle(bundle), engine="openvino-int8")
    # The same network in float32 is not concerned.
    Engine(load_bundle(bundle), engine="openvino")


def test_the_network_in_float32_does_not_pass_for_it(bundle: Path) -> None:
    shutil.copy(bundle / OPENVINO, bundle / INT8)
    shutil.copy(bundle / "inference.bin", bundle / INT8_WEIGHTS)
    without_hashes(bundle)
    with pytest.raises(StartupError, match="does not give the bundle's golden answers"):
        Engine(load_bundle(bundle), engine="openvino-int8")


def test_a_processor_without_vnni_gives_the_golden_answers(int8_bundle: Path) -> None:
    """OpenVINO's library takes the processor for one with AVX2 only, if it has more."""
    program = (
        "import sys; from pathlib import Path; from app.model.bundle import load_bundle; "
        "from app.model.engine import Engine; "
        "Engine(load_bundle(Path(sys.argv[1])), engine='openvino-int8')"
    )
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    subprocess.run([sys.executable, "-c", program, str(int8_bundle)], env=environment, check=True)


def test_a_bundle_without_the_file_says_how_to_get_it(small_bundle: Path, tmp_path: Path) -> None:
    directory = shutil.copytree(small_bundle, tmp_path / "bundle")
    message = rf"has no {INT8}: run `\S+ -m app weights quantize --photos DIR {directory}` once"
    with pytest.raises(StartupError, match=message):
        Engine(load_bundle(directory), engine="openvino-int8")


@pytest.mark.anyio
async def test_a_worker_answers_with_it(int8_bundle: Path) -> None:
    checked = load_bundle(int8_bundle)
    pixels = list(np.random.default_rng(1).integers(0, 256, (3, 64, 64, 3), np.uint8))
    settings = Settings(engine="openvino-int8", workers=1, max_batch_size=4)
    async with WorkerPool(checked, settings, Metrics()) as pool:
        worker = pool.take()
        assert worker
        scores, _ = await worker.infer([pool.slots.put(picture) for picture in pixels])
    expected = Engine(checked, engine="openvino-int8").infer(np.stack(pixels))
    np.testing.assert_allclose(scores, expected, atol=5e-3)


def test_without_photos_the_command_says_what_it_takes(small_bundle: Path, run: Run) -> None:
    ended = run("weights", "quantize", small_bundle)
    assert ended.code == 1
    assert ended.err == (
        "error: 8 bits need at least 50 photos like those that will be served, without labels, "
        "but there are 0: name their folder with --photos DIR\n"
    )


def test_too_few_photos_are_refused(small_bundle: Path, photos: Path, run: Run) -> None:
    ended = run("weights", "quantize", small_bundle, "--photos", photos / "cat")
    assert ended.code == 1
    assert "there are 20" in ended.err


def test_the_command_measures_on_labelled_photos(
    small_bundle: Path, int8_bundle: Path, photos: Path, labelled: Path, tmp_path: Path, run: Run
) -> None:
    """The same photos give the same network, whatever it is measured on."""
    directory = shutil.copytree(small_bundle, tmp_path / "bundle")
    ended = run("weights", "quantize", directory, "--photos", photos, "--test", labelled)
    assert ended.code == 0
    assert f"built {directory / INT8}: on 12 photos that were not used to make it" in ended.out
    cost = load_bundle(directory).provenance["int8"]["cost"]
    assert cost["photos"] == 12
    assert {"top1", "top1_float32"} < set(cost)
    assert sha256(directory / INT8_WEIGHTS) == sha256(int8_bundle / INT8_WEIGHTS)


def test_photos_that_made_it_cannot_test_it(small_bundle: Path, photos: Path, run: Run) -> None:
    ended = run("weights", "quantize", small_bundle, "--photos", photos, "--test", photos)
    assert ended.code == 1
    assert "0.png is among --photos and among --test" in ended.err


def test_a_layer_that_does_not_exist_is_named(bundle: Path, photos: Path, run: Run) -> None:
    before = sha256(bundle / INT8)
    ended = run("weights", "quantize", bundle, "--photos", photos, "--float32", "99")
    assert ended.code == 1
    assert "there is no layer 99: the network has 5" in ended.err
    assert sha256(bundle / INT8) == before
    load_bundle(bundle)


@pytest.mark.slow
def test_real_photos_keep_their_classes(default_bundle: Path, tmp_path: Path) -> None:
    directory = shutil.copytree(default_bundle, tmp_path / "bundle")
    rng = np.random.default_rng(0)
    # Crops of a few pictures are enough for a network that works.
    for name in ("chelsea.png", "coffee.png", "rocket.jpg", "astronaut.png", "camera.png"):
        with Image.open(SHIPPED / name) as picture:
            for number in range(10):
                side = int(min(picture.size) * rng.uniform(0.5, 0.8))
                left, top = (int(rng.integers(0, size - side + 1)) for size in picture.size)
                crop = picture.crop((left, top, left + side, top + side))
                (tmp_path / "photos").mkdir(exist_ok=True)
                crop.save(tmp_path / "photos" / f"{name}-{number}.png")
    for label, file in {
        "tiger cat": SHIPPED / "chelsea.png",
        "espresso": SHIPPED / "coffee.png",
        "palace": CHINA,
    }.items():
        (tmp_path / "test" / label).mkdir(parents=True)
        shutil.copy(file, tmp_path / "test" / label)
    _, cost = quantize(directory, tmp_path / "photos", tmp_path / "test", MAX_PIXELS)
    assert (cost.photos, cost.agreement, cost.top1) == (3, 1, 1)
    assert cost.kl < 0.05
