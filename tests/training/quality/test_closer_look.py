"""`dataset check` with the default model finds crops and wrong labels, and writes what to do."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import Run
from photo_copies import NAMES, cropped, mirrored, photo
from PIL import Image
from sklearn.datasets import load_sample_images

CAT = Path(__file__).parents[3] / "docs" / "cat.jpg"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Ten photos of the class `one`, and two of the class `two`, all in `train`."""
    folder = tmp_path / "photos" / "train"
    (folder / "one").mkdir(parents=True)
    for name in NAMES:
        photo(name).save(folder / "one" / f"{Path(name).stem}.png")
    (folder / "two").mkdir()
    for i, pixels in enumerate(load_sample_images().images):
        Image.fromarray(pixels).save(folder / "two" / f"{i}.jpg")
    return folder.parent


def check(run: Run, photos: Path, *options: object) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(run("dataset", "check", photos, "--json", *options).out)
    return document


def names(groups: list[dict[str, Any]]) -> list[tuple[str, set[str]]]:
    return [(group["kind"], {Path(file).name for file in group["files"]}) for group in groups]


@pytest.mark.slow
def test_crops_are_found(run: Run, photos: Path, default_bundle: Path, tmp_path: Path) -> None:
    (photos / "test" / "one").mkdir(parents=True)
    crop = mirrored(cropped(photo("coffee.png"), 0.1, 0.04, 0.06, 0.09))
    crop.save(photos / "test" / "one" / "new.jpg", quality=60)
    assert check(run, photos, "--quick")["near_duplicates"] == []
    output = tmp_path / "checked"
    found = check(run, photos, "--model-dir", default_bundle, "--output", output)
    assert names(found["near_duplicates"]) == [("leak", {"coffee.png", "new.jpg"})]
    assert not found["sound"]
    assert found["left_out"] == ["wrong labels of classes with fewer than 5 photos: two"]
    with (output / "suggestions.csv").open() as file:
        rows = [(row["action"], row["file"], row["problem"]) for row in csv.DictReader(file)]
    assert rows == [
        ("keep", "test/one/new.jpg", "copy"),
        ("remove", "train/one/coffee.png", "copy"),
    ]
    with Image.open(output / "near_duplicates-1.png") as sheet:
        assert sheet.size == (2 * 230 + 6, 230 + 6)
    assert not list(output.glob("wrong_labels*"))


@pytest.mark.slow
def test_wrong_labels_are_found(run: Run, default_bundle: Path, tmp_path: Path) -> None:
    """Parts of a photo of a cat and of a photo of a flower are two classes."""
    flower = Image.fromarray(load_sample_images().images[1])
    random = np.random.default_rng(0)
    with Image.open(CAT) as cat:
        for name, picture in (("cat", cat.convert("RGB")), ("flower", flower)):
            (tmp_path / "photos" / name).mkdir(parents=True)
            for i in range(20):
                edges = random.uniform(0.05, 0.45, 4)
                cropped(picture, *edges).save(tmp_path / "photos" / name / f"{name} {i}.png")
    photos = tmp_path / "photos"
    for i in (3, 8):
        shutil.move(photos / "cat" / f"cat {i}.png", photos / "flower")
    shutil.move(photos / "flower" / "flower 5.png", photos / "cat")
    output = tmp_path / "checked"
    found = check(run, photos, "--model-dir", default_bundle, "--output", output)
    named = {Path(row["file"]).name: row["suggestion"] for row in found["wrong_labels"]}
    assert named == {"cat 3.png": "cat", "cat 8.png": "cat", "flower 5.png": "flower"}
    assert (output / "wrong_labels-1.png").is_file()
    with (output / "suggestions.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["problem"] == "wrong label"]
    assert {(row["action"], row["move_to"], Path(row["file"]).name) for row in rows} >= {
        ("move", "cat", "cat 3.png")
    }
    text = run("dataset", "check", photos, "--model-dir", default_bundle).out
    assert "wrong label?: " in text
    assert "flower 5.png: cat, but looks like flower (" in text


def test_without_a_model_it_says_what_is_left_out(
    run: Run,
    photos: Path,
    tmp_path: Path,
    default_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copy(photos / "train" / "one" / "chelsea.png", photos / "train" / "two")
    monkeypatch.setenv("CLASSIFIER_MODEL_DIR", str(tmp_path / "none"))
    ended = run("dataset", "check", photos)
    assert ended.code == 1
    assert "two classes: " in ended.out
    assert "left out: crops and wrong labels, which need a model: " in ended.out
    assert "`make weights` builds the default model" in ended.out
    # A model without the file of the chosen engine is of no use either.
    bundle = tmp_path / "bundle"
    shutil.copytree(default_bundle, bundle, ignore=shutil.ignore_patterns("*.xml", "*.bin"))
    monkeypatch.setenv("CLASSIFIER_MODEL_DIR", str(bundle))
    monkeypatch.setenv("CLASSIFIER_ENGINE", "openvino")
    unusable = run("dataset", "check", photos)
    assert "left out: crops and wrong labels, which need a model: " in unusable.out
    # A model that is named has to be there.
    ended = run("dataset", "check", photos, "--model-dir", tmp_path / "none")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.splitlines()[-1].startswith("error: ")


def test_nothing_but_broken_photos(run: Run, tmp_path: Path, default_bundle: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "0.jpg").write_bytes(b"broken")
    found = check(run, tmp_path, "--model-dir", default_bundle)
    assert (len(found["broken"]), found["near_duplicates"]) == (1, [])
