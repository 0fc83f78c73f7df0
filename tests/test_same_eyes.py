"""`evaluate`, `predict` and HTTP give the network the same pixels of a photo, to the byte."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import skimage
from commands import Run
from networks import Mirror, transform_ops
from PIL import ExifTags, Image
from profiles import ADOBE, adobe_curve, rgb_profile
from running import RunningServer

from app.images.decoding import decode
from app.model.transform_ops import read_transform_ops
from app.training.network.export import Card, export

CHELSEA = Path(skimage.__file__).parent / "data" / "chelsea.png"
ADOBE_RGB = rgb_profile(ADOBE, adobe_curve)
SIDE = 16
OPS = transform_ops(
    resize={"resize_short": 20}, crop=SIDE, normalize={"scale": 1, "mean": [0] * 3, "std": [1] * 3}
)


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose scores reveal the pixels that the network has seen."""
    directory = tmp_path_factory.mktemp("bundles") / "mirror"
    labels = [str(class_id) for class_id in range(3 * SIDE * SIDE + 1)]
    export(Mirror(), Card("mirror", OPS, labels, {"source": "a test"}, srgb=True), directory)
    return directory


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A large JPEG with an EXIF orientation and Adobe RGB, the only photo of class 0."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    path = tmp_path / "photos" / "0" / "side.jpg"
    path.parent.mkdir(parents=True)
    Image.open(CHELSEA).resize((1804, 1200)).save(path, exif=exif, icc_profile=ADOBE_RGB)
    return path


def by_evaluate(run: Run, bundle: Path, photo: Path, output: Path) -> npt.NDArray[np.float32]:
    assert run("evaluate", bundle, photo.parents[1], "--output", output).code == 0
    scores: npt.NDArray[np.float32] = np.load(output / "scores.npy")[0]
    return scores


def by_predict(run: Run, bundle: Path, photo: Path, classes: int) -> npt.NDArray[np.float32]:
    ended = run("predict", photo, "--model-dir", bundle, "--json", "--top-k", classes)
    return in_order(json.loads(ended.out)["predictions"])


def by_http(bundle: Path, photo: Path, classes: int, log: Path) -> npt.NDArray[np.float32]:
    with RunningServer(bundle, log, workers=1, max_batch_size=1) as server:
        url = f"/predict?top_k={classes}"
        answer = server.client.post(url, files={"file": ("photo", photo.read_bytes())})
        return in_order(answer.json()["predictions"])


def in_order(predictions: list[dict[str, float]]) -> npt.NDArray[np.float32]:
    scores = {row["class_id"]: row["score"] for row in predictions}
    return np.array([scores[class_id] for class_id in range(len(scores))], np.float32)


def seen(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return the pixels that the mirror saw, (H, W, 3)."""
    values = scores[:-1].astype(np.float64) * Mirror.LEVEL / scores[-1] - 1
    assert np.abs(values - values.round()).max() < 0.4, "the scores do not reveal the pixels"
    planes = values.round().astype(np.uint8).reshape(3, SIDE, SIDE)
    return np.ascontiguousarray(planes.transpose(1, 2, 0))


def test_the_network_sees_the_same_bytes(
    run: Run, mirror: Path, photo: Path, tmp_path: Path
) -> None:
    plain, expected = (
        decode(photo.read_bytes(), read_transform_ops(OPS, srgb), 10_000_000).pixels
        for srgb in (False, True)
    )
    assert np.abs(plain.astype(int) - expected).mean() > 3
    classes = expected.size + 1
    assert expected.std() > 20
    for scores in (
        by_evaluate(run, mirror, photo, tmp_path / "evaluated"),
        by_predict(run, mirror, photo, classes),
        by_http(mirror, photo, classes, tmp_path / "log"),
    ):
        assert seen(scores).tobytes() == expected.tobytes()


def test_the_scores_are_the_same(
    run: Run, default_bundle: Path, photo: Path, tmp_path: Path
) -> None:
    evaluated = by_evaluate(run, default_bundle, photo, tmp_path / "evaluated")
    predicted = by_predict(run, default_bundle, photo, 1000)
    served = by_http(default_bundle, photo, 1000, tmp_path / "log")
    # Scores are rounded to six digits, and another number of threads adds numbers in another order.
    rounding = 1.1e-6
    assert 0.2 < evaluated.max() < 0.9
    assert np.abs(evaluated - served).max() < rounding
    assert np.abs(predicted - served).max() < rounding
