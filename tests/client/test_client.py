"""The client of clients/python against the real service: photos of each kind, lists, errors."""

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from photo_classifier import (
    Answer,
    AsyncClassifier,
    Classifier,
    ClassifierError,
    KeyRefused,
    PhotoRefused,
    Unreachable,
)
from photo_classifier.photos import Photo, file_of
from PIL import Image, ImageOps
from running import RunningServer

from app.bench.measure.launch import free_port

KEY = "a-key-0123456789"
CAT = Path(__file__).parents[2] / "docs" / "cat.jpg"


@pytest.fixture(scope="module")
def server(
    default_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    log = tmp_path_factory.mktemp("server") / "log"
    settings = {"api_keys": KEY, "max_photos": 5, "max_upload_bytes": 1_000_000}
    with RunningServer(default_bundle, log, workers=1, **settings) as server:
        yield server


@pytest.fixture
def classifier(server: RunningServer) -> Iterator[Classifier]:
    with Classifier(server.url, KEY) as classifier:
        yield classifier


def cats() -> list[Photo]:
    """Return the same photo in each form that it may have in a program."""
    image = Image.open(CAT)
    pixels = np.asarray(image)
    file = CAT.read_bytes()
    arrays = [
        pixels,
        np.ascontiguousarray(np.dstack([pixels, np.full(pixels.shape[:2], 255, "u1")])),
    ]
    return [CAT, str(CAT), file, bytearray(file), memoryview(file), image, *arrays]


@pytest.mark.parametrize("kind", range(8))
def test_a_photo_of_each_kind(classifier: Classifier, kind: int) -> None:
    answer = classifier.predict(cats()[kind], top_k=2)
    assert isinstance(answer, Answer)
    assert answer.best
    assert (answer.best.label, len(answer.predictions)) == ("tiger cat", 2)
    assert answer.best.score == pytest.approx(0.4187, abs=0.01)
    assert (answer.image.width, answer.image.height) == (451, 300)
    assert answer.model.name == "MobileNetV2_x1_0"
    assert answer.timings_ms["total"] > 0


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "YCbCr", "RGBA", "I;16", "F"])
def test_an_image_of_any_mode_keeps_its_pixels(mode: str) -> None:
    image = Image.open(CAT).convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image, np.uint16) * 257)
    read = Image.open(_stored(image))
    assert read.size == image.size
    if mode in {"L", "LA", "RGBA", "1", "P"}:
        assert np.array_equal(np.asarray(read), np.asarray(image))


def test_an_image_that_is_turned_stays_turned() -> None:
    image = Image.open(CAT)
    image.getexif()[0x0112] = 6
    upright = ImageOps.exif_transpose(Image.open(_stored(image)))
    assert upright.size == (300, 451)


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 2), (4, 5, 3), (4, 5, 4), (1, 1)])
def test_an_array_becomes_the_same_pixels(shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    read = np.asarray(Image.open(_stored(array)))
    assert np.array_equal(read, array.squeeze(axis=2) if shape[2:] == (1,) else array)
    turned = np.asarray(Image.open(_stored(array.swapaxes(0, 1))))
    assert np.array_equal(turned, read.swapaxes(0, 1))


@pytest.mark.parametrize("array", [np.zeros((4, 5)), np.zeros((2, 4, 5, 3), np.uint8), np.zeros(5)])
def test_another_array_is_no_photo(array: Photo) -> None:
    with pytest.raises(ValueError, match="uint8"):
        file_of(array)


def test_a_list_has_an_answer_or_an_error_for_each_photo(
    classifier: Classifier, server: RunningServer
) -> None:
    # The service takes five photos at once, which the client does not know.
    photos: list[Photo] = [CAT, b"no photo", *[CAT] * 6, b"\xff" * 1_500_000, b"", CAT]
    outcomes = classifier.predict(photos)
    refused = {i: one for i, one in enumerate(outcomes) if not isinstance(one, Answer)}
    codes = {1: "unsupported_image", 8: "file_too_large", 9: "empty_file"}
    assert {i: one.code for i, one in refused.items()} == codes
    assert all(isinstance(one, PhotoRefused) for one in refused.values())
    labels = [one.best.label for one in outcomes if isinstance(one, Answer) and one.best]
    assert labels == ["tiger cat"] * 8
    assert server.health()["in_flight"] == 0
    assert classifier.predict([]) == []


def test_min_score_may_leave_nothing(classifier: Classifier) -> None:
    assert classifier.predict(CAT, min_score=1.0).best is None


def test_errors_have_a_type_and_the_services_words(
    classifier: Classifier, server: RunningServer
) -> None:
    with pytest.raises(PhotoRefused, match="not an image of a known format") as refused:
        classifier.predict(b"no photo")
    assert (refused.value.status, refused.value.code) == (415, "unsupported_image")
    assert refused.value.request_id
    with Classifier(server.url, "another-key-0123456789") as stranger:
        for photo in (CAT, [CAT]):
            with pytest.raises(KeyRefused):
                stranger.predict(photo)
    lost = Classifier(f"http://127.0.0.1:{free_port()}", timeout_s=1)
    with lost, pytest.raises(Unreachable):
        lost.predict(CAT)
    misled = Classifier(f"{server.url}/docs?", KEY)
    with misled, pytest.raises(ClassifierError):
        misled.predict(CAT)
    with pytest.raises(FileNotFoundError):
        classifier.predict("no/such.jpg")


@pytest.mark.anyio
async def test_many_at_once(server: RunningServer) -> None:
    async with AsyncClassifier(server.url, KEY) as classifier:
        several = classifier.predict([CAT, b"", CAT])
        answers = await asyncio.gather(*(classifier.predict(CAT) for _ in range(20)))
        assert {answer.best.label for answer in answers if answer.best} == {"tiger cat"}
        outcomes = await several
        assert [isinstance(outcome, Answer) for outcome in outcomes] == [True, False, True]


def _stored(photo: Photo) -> io.BytesIO:
    return io.BytesIO(file_of(photo))
