"""Real weights learn what a cat and a coffee look like, and the service tells other photos."""

import io
import json
import shutil
from pathlib import Path

import pytest
import skimage
from commands import Run
from PIL import Image
from running import RunningServer

from app.model.bundle import load_bundle

SAMPLES = Path(skimage.__file__).parent / "data"
# The file of each class, which is one of ImageNet's.
KNOWN = {"Egyptian cat": "chelsea.png", "espresso": "coffee.png"}
OTHERS = ("rocket.jpg", "astronaut.png", "page.png", "hubble_deep_field.jpg")


def view(file: str, number: int) -> Image.Image:
    """Return one of eight views of a photo: another part of it, mirrored if the number is odd."""
    photo = Image.open(SAMPLES / file).convert("RGB")
    width, height = photo.size
    dx, dy = number % 4 * width // 40, number // 4 * height // 40
    part = photo.crop((dx, dy, width - width // 10 + dx, height - height // 10 + dy))
    return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if number % 2 else part


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name, file in KNOWN.items():
        (folder / "known" / name).mkdir(parents=True)
        for number in range(7):
            view(file, number).save(folder / "known" / name / f"{number}.png")
    (folder / "others").mkdir()
    for file in OTHERS:
        shutil.copy(SAMPLES / file, folder / "others")
    return folder


@pytest.mark.slow
def test_the_service_tells_other_photos(
    run: Run, photos: Path, default_bundle: Path, tmp_path: Path
) -> None:
    bundle = shutil.copytree(default_bundle, tmp_path / "bundle")
    assert load_bundle(bundle).limit is None
    ended = run(*("weights", "unfamiliar", bundle, photos / "known"), "--others", photos / "others")
    measured = json.loads(ended.out.splitlines()[-1])
    assert measured["called_unfamiliar"] == 0
    assert (measured["others_called_unfamiliar"], measured["auc"]) == (1, 1)
    with RunningServer(bundle, tmp_path / "log", workers=1) as server:
        for file in KNOWN.values():
            # The last view is a new one.
            unseen = io.BytesIO()
            view(file, 7).save(unseen, "PNG")
            answer = server.predict(unseen.getvalue()).json()
            assert answer["unfamiliar"] is False
            assert answer["unfamiliarity"] < 0.5
        for file in OTHERS:
            answer = server.predict((SAMPLES / file).read_bytes()).json()
            assert answer["unfamiliar"] is True
            assert 0.5 <= answer["unfamiliarity"] < 1
        metrics = server.client.get("/metrics").text.splitlines()
    assert f"classifier_unfamiliar_photos_total {len(OTHERS):.1f}" in metrics
    assert f"classifier_unfamiliarity_ratio_count {len(OTHERS) + len(KNOWN):.1f}" in metrics
