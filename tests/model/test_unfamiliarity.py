"""Bundles tell photos that show none of their classes, with each engine and in real workers."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from drawn import COLOURS
from telling import WHITE, export_telling, plain

from app.errors import BundleError, StartupError
from app.model.bundle import Bundle, load_bundle
from app.model.engine import Engine
from app.model.unfamiliarity import UNFAMILIAR, Limit, distances, is_unfamiliar, means
from app.settings import EngineName, Settings
from app.telemetry.metrics import Metrics
from app.training.network.onnx import add_onnx
from app.training.network.openvino import add_openvino
from app.workers.pool import WorkerPool

SETTINGS = Settings(workers=1, max_batch_size=4)
KNOWN = [plain(colour) for colour in COLOURS.values()]
IMAGES = np.stack([*KNOWN, plain(WHITE)])


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("telling")
    export_telling(folder / "bundle", folder / "photos")
    return folder / "bundle"


@pytest.fixture
def copy(directory: Path, tmp_path: Path) -> Path:
    return shutil.copytree(directory, tmp_path / "bundle")


def told(bundle: Bundle, engine: EngineName = "paddle") -> list[float]:
    far = Engine(bundle, engine=engine).answer(IMAGES).unfamiliarity
    assert far is not None
    found: list[float] = far.tolist()
    return found


def change(directory: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Edit the provenance of a bundle."""
    file = directory / "inference.yml"
    config = yaml.safe_load(file.read_text("utf-8"))
    edit(config["Provenance"])
    file.write_text(yaml.safe_dump(config, allow_unicode=True), "utf-8")


def test_colours_that_it_knows_are_familiar_and_white_is_not(directory: Path) -> None:
    *known, white = told(load_bundle(directory))
    assert not any(map(is_unfamiliar, known))
    assert is_unfamiliar(white)
    assert max(known) < white < 1


def test_the_scores_are_those_without_it(directory: Path) -> None:
    bundle = load_bundle(directory)
    scores = Engine(bundle).infer(IMAGES)
    without = Engine(bundle.__class__(**{**vars(bundle), "limit": None}))
    answers = without.answer(IMAGES)
    assert answers.unfamiliarity is None
    np.testing.assert_array_equal(answers.scores, scores)


def test_the_distance_is_that_of_the_textbook() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, 5)).astype(np.float32)
    classes = np.arange(40) % 3
    scores = rng.random((40, 3), np.float32)
    centres = means(vectors, classes, 3)
    expected = []
    for vector, of_vector in zip(vectors, scores, strict=True):
        own = vectors[classes == of_vector.argmax()]
        mean = (own / np.linalg.norm(own, axis=1)[:, None]).mean(axis=0)
        cosine = vector @ mean / np.linalg.norm(vector) / np.linalg.norm(mean)
        expected.append(1 - cosine)
    np.testing.assert_allclose(distances(centres, vectors, scores), expected, atol=1e-6)


def test_a_class_without_photos_is_far_from_all() -> None:
    centres = means(np.ones((2, 4), np.float32), np.zeros(2, np.int64), 2)
    assert centres.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(centres, axis=1), [1, 0])
    vectors = np.ones((1, 4), np.float32)
    assert distances(centres[1:], vectors, np.ones((1, 1), np.float32)) == [1]


@pytest.mark.parametrize(("engine", "add"), [("openvino", add_openvino), ("onnxruntime", add_onnx)])
def test_other_engines_tell_the_same(
    copy: Path, engine: EngineName, add: Callable[[Path], Path]
) -> None:
    expected = told(load_bundle(copy))
    add(copy)
    np.testing.assert_allclose(told(load_bundle(copy), engine), expected, atol=2e-3)


@pytest.mark.anyio
async def test_a_worker_tells_it_for_each_photo_of_a_padded_batch(directory: Path) -> None:
    bundle = load_bundle(directory)
    async with WorkerPool(bundle, SETTINGS, Metrics()) as pool:
        worker = pool.take()
        assert worker
        slots = [pool.slots.put(IMAGES[i]) for i in (0, 3, 1)]
        answered = await worker.answer(slots)
    assert answered.scores.shape == (3, 3)
    assert answered.unfamiliarity is not None
    expected = np.array(told(bundle))[[0, 3, 1]]
    np.testing.assert_allclose(answered.unfamiliarity, expected, atol=1e-5)


@pytest.mark.anyio
async def test_a_worker_of_another_bundle_tells_nothing(small_bundle: Path) -> None:
    async with WorkerPool(load_bundle(small_bundle), SETTINGS, Metrics()) as pool:
        worker = pool.take()
        assert worker
        answered = await worker.answer([pool.slots.put(IMAGES[0])])
    assert answered.unfamiliarity is None


def test_another_file_of_means_is_refused(copy: Path) -> None:
    centres = np.load(copy / UNFAMILIAR)
    np.save(copy / UNFAMILIAR, centres[::-1].copy())
    with pytest.raises(BundleError, match=f"{UNFAMILIAR} is not the file recorded here"):
        load_bundle(copy)


def test_a_missing_file_of_means_is_named(copy: Path) -> None:
    (copy / UNFAMILIAR).unlink()
    with pytest.raises(StartupError, match=f"{UNFAMILIAR} cannot be read"):
        Engine(load_bundle(copy))


@pytest.mark.parametrize(
    "array", [np.eye(3, dtype=np.float64), np.ones(3, np.float32), np.eye(4, dtype=np.float32)]
)
def test_means_that_do_not_fit_are_refused(copy: Path, array: np.ndarray[Any, Any]) -> None:
    np.save(copy / UNFAMILIAR, array)
    change(copy, lambda provenance: provenance["sha256"].pop(UNFAMILIAR))
    with pytest.raises(StartupError, match=UNFAMILIAR):
        Engine(load_bundle(copy))


def test_a_wrong_golden_answer_is_refused(copy: Path) -> None:
    change(copy, lambda provenance: provenance["unfamiliar"].update(golden=0.01))
    with pytest.raises(StartupError, match="golden answer to what is unfamiliar"):
        Engine(load_bundle(copy))


@pytest.mark.parametrize(
    "record", ["much", [1], {"distance": 0.1}, {"distance": "far", "golden": 0.5}]
)
def test_an_unreadable_record_is_one_line(copy: Path, record: object) -> None:
    change(copy, lambda provenance: provenance.update(unfamiliar=record))
    with pytest.raises(BundleError, match="unfamiliar is not readable"):
        load_bundle(copy)


@pytest.mark.parametrize("distance", [0, -0.1, 2.1, float("nan")])
def test_a_limit_that_is_no_distance_is_refused(distance: float) -> None:
    with pytest.raises(BundleError, match="must lie between 0 and 2"):
        Limit.parse({"distance": distance, "golden": 0.5})


def test_a_network_without_a_vector_cannot_tell(copy: Path, small_bundle: Path) -> None:
    for name in ("inference.json", "inference.pdiparams"):
        shutil.copy(small_bundle / name, copy / name)
    change(copy, lambda provenance: provenance.update(sha256={}, golden=None))
    with pytest.raises(StartupError, match=f"{UNFAMILIAR} of .* is not of its network"):
        Engine(load_bundle(copy))
