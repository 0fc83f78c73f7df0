"""A classifier on real weights learns what a cat and a coffee are, and tells other photos."""

import io
import json
from pathlib import Path

import pytest
import skimage
from commands import Run
from PIL import Image
from running import RunningServer

pytest_plugins = ["quick_training"]

SAMPLES = Path(skimage.__file__).parent / "data"
KNOWN = {"cat": "chelsea.png", "coffee": "coffee.png"}
# The published weights do not learn; a classifier on them learns within seconds.
QUICK = ("--freeze", "all", "--size", 128, "--batch-size", 4, "--workers", 0)
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
    return folder


@pytest.mark.slow
@pytest.mark.usefixtures("few_strengths")
def test_a_trained_bundle_tells_other_photos(run: Run, photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert run("train", photos / "known", *QUICK, "--output", folder).code == 0
    exported = json.loads(run("export", folder).out.splitlines()[-1])
    assert exported["unfamiliar"] == {"learned_from": 12, "held_out": 2, "called_unfamiliar": 0}
    others = [SAMPLES / file for file in OTHERS]
    printed = run("predict", *others, "--json", "--model-dir", folder / "bundle").out
    predicted = [json.loads(line) for line in printed.splitlines()]
    assert all(each["unfamiliar"] for each in predicted)
    with RunningServer(folder / "bundle", tmp_path / "log", workers=1) as server:
        for file in KNOWN.values():
            # The last view is a new one.
            unseen = io.BytesIO()
            view(file, 7).save(unseen, "PNG")
            answer = server.predict(unseen.getvalue()).json()
            assert answer["unfamiliar"] is False
            assert answer["unfamiliarity"] < 0.5
        for photo, offline in zip(others, predicted, strict=True):
            answer = server.predict(photo.read_bytes()).json()
            assert answer["unfamiliar"] is True
            assert answer["unfamiliarity"] == pytest.approx(offline["unfamiliarity"], abs=1e-4)
        metrics = server.client.get("/metrics").text.splitlines()
    assert f"classifier_unfamiliar_photos_total {len(OTHERS):.1f}" in metrics
    assert f"classifier_unfamiliarity_ratio_count {len(OTHERS) + len(KNOWN):.1f}" in metrics
