"""The default bundle on photos that scikit-image and scikit-learn ship, by offline inference."""

from pathlib import Path

import pytest
import skimage
import sklearn

from app.model.bundle import load_bundle
from app.model.engine import Engine
from app.model.offline import FilePrediction, predict

SKIMAGE = Path(skimage.__file__).parent / "data"
SKLEARN = Path(sklearn.__file__).parent / "datasets" / "images"

# The scores are those of the exact network with Pillow's bilinear filter.
# tests/training/weights/test_keras.py shows that the network is exact.
ANSWERS = {
    SKIMAGE / "chelsea.png": {"tiger cat": 0.395, "Egyptian cat": 0.365, "tabby": 0.173},
    SKIMAGE / "coffee.png": {"espresso": 0.874},
    # This photo has the profile of Adobe RGB; without conversion to sRGB the score is 0.467.
    SKIMAGE / "rocket.jpg": {"missile": 0.451},
    # This photo has grey levels only.
    SKIMAGE / "camera.png": {"tripod": 0.983},
    SKIMAGE / "motorcycle_left.png": {"motor scooter": 0.542},
    SKLEARN / "china.jpg": {"palace": 0.547},
}


def test_photos_get_the_known_answers(default_bundle: Path) -> None:
    bundle = load_bundle(default_bundle)
    outcomes = predict(list(ANSWERS), bundle, Engine(bundle), 3, 50_000_000)
    for (path, expected), outcome in zip(ANSWERS.items(), outcomes, strict=True):
        assert isinstance(outcome, FilePrediction), outcome
        assert outcome.file == str(path)
        best = [(row.label.split(",")[0], row.score) for row in outcome.predictions]
        assert dict(best[: len(expected)]) == pytest.approx(expected, abs=0.01)
