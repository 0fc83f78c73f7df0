"""bfloat16: filters whose rounding errors cancel, and answers close to those of float32."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import paddle
import pytest
import skimage

from app.errors import StartupError
from app.images.decoding import decode
from app.model.bfloat16 import rounded
from app.model.bundle import load_bundle
from app.model.engine import Engine
from app.model.golden import Golden
from app.model.paddle_core import load_core
from app.settings import EngineName, Settings
from app.telemetry.metrics import Metrics
from app.workers.pool import WorkerPool

PHOTOS = Path(skimage.__file__).parent / "data"
NAMES = ("coffee.png", "rocket.jpg", "camera.png", "motorcycle_left.png")
needs_bfloat16 = pytest.mark.skipif(
    not paddle.base.core.supports_bfloat16_fast_performance(),
    reason="this processor has no bfloat16",
)
Floats = npt.NDArray[np.float32]


def filters(channels: int = 500) -> Floats:
    return np.random.default_rng(1).normal(size=(channels, 1, 3, 3)).astype(np.float32)


def nearest(weights: Floats) -> Floats:
    bits = weights.view(np.uint32) + np.uint32(0x8000)
    return (bits & np.uint32(0xFFFF0000)).view(np.float32)


def test_every_weight_becomes_one_of_its_neighbours_in_bfloat16() -> None:
    weights = filters()
    got = rounded(weights)
    assert got.shape == weights.shape
    assert got.dtype == np.float32
    # bfloat16 keeps the upper 16 bits of a float32.
    assert not (got.view(np.uint32) & np.uint32(0xFFFF)).any()
    apart = np.abs(got.view(np.uint32).astype(np.int64) - weights.view(np.uint32))
    assert apart.max() < 2**16
    assert (got != nearest(weights)).any()


def test_what_bfloat16_has_already_stays() -> None:
    weights = nearest(filters())
    np.testing.assert_array_equal(rounded(weights), weights)


def test_on_pixels_that_are_alike_the_errors_cancel() -> None:
    weights = filters()
    random = np.random.default_rng(2)
    photos = random.normal(size=(200, 1)) + 0.2 * random.normal(size=(200, 9))  # (photos, pixels)

    def error(others: Floats) -> float:
        difference = (others - weights).reshape(-1, 9)
        return float(np.sqrt(((difference @ photos.T) ** 2).mean()))

    assert error(rounded(weights)) < 0.4 * error(nearest(weights))


@pytest.mark.slow
@needs_bfloat16
def test_clear_photos_get_the_same_answers(default_bundle: Path) -> None:
    bundle = load_bundle(default_bundle)
    photos = [decode((PHOTOS / name).read_bytes(), bundle.preprocessing, 10**8) for name in NAMES]
    images = np.stack([photo.pixels for photo in photos])
    expected = Engine(bundle).infer(images)
    scores = Engine(bundle, engine="paddle-bfloat16").infer(images)
    assert scores.dtype == np.float32
    assert scores.argmax(1).tolist() == expected.argmax(1).tolist()
    # The arithmetic really is another one, and its scores are close.
    assert 1e-4 < np.abs(scores - expected).max() < 0.1


@pytest.mark.slow
@needs_bfloat16
@pytest.mark.anyio
async def test_a_worker_serves_with_it(small_bundle: Path) -> None:
    bundle = load_bundle(small_bundle)
    photos = list(np.random.default_rng(1).integers(0, 256, (3, 64, 64, 3), np.uint8))
    settings = Settings(engine="paddle-bfloat16", workers=1, max_batch_size=4)
    async with WorkerPool(bundle, settings, Metrics()) as pool:
        worker = pool.take()
        assert worker
        scores, _ = await worker.infer([pool.slots.put(photo) for photo in photos])
    expected = Engine(bundle, engine="paddle-bfloat16").infer(np.stack([*photos, photos[0]]))
    np.testing.assert_allclose(scores, expected[:3], atol=1e-3)


@needs_bfloat16
def test_a_damaged_bundle_is_one_line(small_bundle: Path, tmp_path: Path) -> None:
    bundle = load_bundle(shutil.copytree(small_bundle, tmp_path / "bundle"))
    bundle.parameters.write_bytes(b"no parameters")
    with pytest.raises(StartupError, match=f"^PaddlePaddle cannot load {bundle.directory}$"):
        Engine(bundle, engine="paddle-bfloat16")


def test_the_older_graph_file_is_refused(small_bundle: Path, tmp_path: Path) -> None:
    bundle = load_bundle(shutil.copytree(small_bundle, tmp_path / "bundle"))
    older = replace(bundle, graph=bundle.graph.rename(bundle.graph.with_suffix(".pdmodel")))
    with pytest.raises(StartupError, match=r"needs inference\.json, not .*\.pdmodel"):
        Engine(older, engine="paddle-bfloat16")


def test_it_has_no_gpu(small_bundle: Path) -> None:
    with pytest.raises(StartupError, match="on the CPU only"):
        Engine(load_bundle(small_bundle), "gpu", engine="paddle-bfloat16")


def test_another_processor_is_told_so(small_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_core(), "supports_bfloat16_fast_performance", lambda: False)
    with pytest.raises(StartupError, match="this processor has no bfloat16"):
        Engine(load_bundle(small_bundle), engine="paddle-bfloat16")


@pytest.mark.parametrize(
    ("scores", "engine", "agrees"),
    [
        ([0.06, 0.25], "paddle-bfloat16", True),
        ([0.06, 0.19], "paddle-bfloat16", True),
        ([0.06, 0.19], "paddle", False),
        ([0.01, 0.25], "paddle-bfloat16", False),
    ],
)
def test_golden_answers_allow_for_its_rounding(
    scores: list[float], engine: EngineName, agrees: bool
) -> None:
    answers = Golden({0: 0.06, 1: 0.25})
    assert answers.agrees(np.array(scores, np.float32), engine) is agrees
