"""A real worker process answers questions: maps, pictures, vectors, and errors."""

import io
from pathlib import Path

import numpy as np
import pytest
from networks import export_dazzled, linear_network, small_card
from PIL import Image
from real_pools import BLACK, pids, pool_of, put, taken

from app.errors import NoFeatures, NotExplainable
from app.model.bundle import Bundle, load_bundle
from app.model.features import FeatureNetwork, Question
from app.training.network.export import export

pytestmark = pytest.mark.anyio

PHOTO = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)


@pytest.fixture
def bundle(small_bundle: Path) -> Bundle:
    return load_bundle(small_bundle)


async def test_it_answers_as_the_network_does_between_batches(bundle: Bundle) -> None:
    network = FeatureNetwork(bundle)
    features = network(PHOTO[np.newaxis])
    best = int(features.scores[0].argmax())
    async with pool_of(bundle) as pool:
        worker = await taken(pool)
        _, slot = put(pool, BLACK, PHOTO)
        scores, _ = await worker.infer([slot])
        for class_id in (None, *range(3)):
            inspected = await worker.inspect(slot, Question("map", class_id))
            assert inspected.class_id == (best if class_id is None else class_id)
            assert inspected.map
            expected = network.activation_map(features, 0, inspected.class_id)
            np.testing.assert_allclose(inspected.map.values, expected.values, atol=1e-5)
            assert inspected.picture is None
            assert 0 < inspected.seconds < 60
        vector = await worker.inspect(slot, Question("vector"))
        assert (vector.map, vector.picture) == (None, None)
        np.testing.assert_allclose(vector.vector, features.vectors[0], atol=1e-5)
        np.testing.assert_allclose(vector.scores, scores[0], atol=1e-5)
        again, _ = await worker.infer([slot])
        np.testing.assert_array_equal(again, scores)


async def test_the_picture_has_the_size_of_the_crop_and_the_maps_heat(bundle: Bundle) -> None:
    async with pool_of(bundle) as pool:
        worker = await taken(pool)
        (slot,) = put(pool, PHOTO)
        inspected = await worker.inspect(slot, Question("picture"))
    assert inspected.picture
    with Image.open(io.BytesIO(inspected.picture)) as picture:
        assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (64, 64))


async def test_the_second_network_is_loaded_only_for_a_question(bundle: Bundle) -> None:
    async with pool_of(bundle) as pool:
        worker = await taken(pool)
        (slot,) = put(pool)
        await worker.infer([slot])
        before = worker.resident_bytes()
        for _ in range(5):
            await worker.infer([slot])
        plain = worker.resident_bytes() - before
        await worker.inspect(slot, Question("vector"))
        assert worker.resident_bytes() - before > plain


async def test_a_network_without_a_linear_classifier_has_no_answers(tmp_path: Path) -> None:
    export_dazzled(tmp_path / "bundle")
    async with pool_of(load_bundle(tmp_path / "bundle")) as pool:
        worker = await taken(pool)
        (slot,) = put(pool)
        for question in (Question("map"), Question("vector"), Question("map")):
            with pytest.raises(NoFeatures):
                await worker.inspect(slot, question)


@pytest.mark.parametrize("question", [Question("map"), Question("picture", 1)])
async def test_a_network_without_exact_maps_says_so_and_serves_on(
    question: Question, tmp_path: Path
) -> None:
    export(linear_network(), small_card(), tmp_path / "bundle")
    async with pool_of(load_bundle(tmp_path / "bundle")) as pool:
        worker = await taken(pool)
        (slot,) = put(pool, PHOTO)
        for _ in range(2):
            with pytest.raises(NotExplainable):
                await worker.inspect(slot, question)
        assert len((await worker.inspect(slot, Question("vector"))).vector) == 3 * 64 * 64
        assert len((await worker.infer([slot]))[0]) == 1
        assert len(pids()) == 1
