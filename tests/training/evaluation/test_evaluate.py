"""`evaluate` counts and draws known mistakes, and finds classes by name and by number."""

import csv
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage
import yaml
from commands import Ended, Run
from drawn import COLOURS, draw, draw_classes
from PIL import Image

from app.training.report.plots import draw_confusion

pytest_plugins = ["colour_fixtures"]


@pytest.fixture(scope="module")
def bundle(colour_bundle: Path) -> Path:
    return colour_bundle


@pytest.fixture
def photos(colour_photos: Path) -> Path:
    return colour_photos


def document(ended: Ended) -> dict[str, Any]:
    assert ended.code == 0, ended.err
    metrics: dict[str, Any] = json.loads(ended.out.splitlines()[-1])
    return metrics


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_figures(run: Run, bundle: Path, photos: Path) -> None:
    ended = run("evaluate", bundle, photos)
    metrics = document(ended)
    assert metrics["bundle"] == "small"
    assert (metrics["photos"], metrics["classes"], metrics["skipped"]) == (10, 3, [])
    assert (metrics["top1"], metrics["top5"]) == (0.9, 1)
    assert metrics["recall"] == pytest.approx((4 / 5 + 1 + 1) / 3, abs=1e-6)
    assert metrics["precision"] == pytest.approx((1 + 2 / 3 + 1) / 3, abs=1e-6)
    assert 0 < metrics["calibration_error"] < 0.5
    assert metrics["images_per_s"] > 1
    dog = next(line for line in ended.out.splitlines() if "dog" in line)
    assert [cell.strip() for cell in dog.split("│")[2:6]] == ["2", "0.667", "1.000", "0.800"]


def test_files(run: Run, bundle: Path, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "new" / "out"
    metrics = document(run("evaluate", bundle, photos, "--output", output))
    whole = json.loads((output / "evaluation.json").read_text("utf-8"))
    assert {key: whole[key] for key in metrics} == metrics
    assert sum(whole["reliability"]["photos"]) == 10
    cat = rows(output / "classes.csv")[0]
    assert ",".join(cat) == "class_id,class,photos,precision,recall,f1"
    assert ",".join(cat.values()) == "0,cat,5,1.0,0.8,0.888889"
    assert (output / "confusion.csv").read_text("utf-8").splitlines() == [
        "is / said,cat,dog,Gänseblümchen",
        "cat,4,1,0",
        "dog,0,2,0",
        "Gänseblümchen,0,0,3",
    ]
    predictions = {Path(row["file"]).name: row for row in rows(output / "predictions.csv")}
    green = predictions["green.png"]
    assert (green["class"], green["said"]) == ("cat", "dog")
    assert float(green["score"]) > float(green["class_score"])
    scores = np.load(output / "scores.npy")
    assert scores.shape == (10, 3)
    assert scores.sum(axis=1) == pytest.approx(1)


def test_pictures(run: Run, bundle: Path, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    document(run("evaluate", bundle, photos, "--output", output))
    for name in ("confusion.png", "reliability.png"):
        with Image.open(output / name) as picture:
            assert min(picture.size) > 200
            assert len(np.unique(np.asarray(picture.convert("L")))) > 20
    with Image.open(output / "mistakes.png") as sheet:
        # One mistake is one tile, and its photo is green.
        assert sheet.size == (236, 236)
        assert np.asarray(sheet)[90, 118].argmax() == 1
    (photos / "cat" / "green.png").unlink()
    document(run("evaluate", bundle, photos, "--output", output))
    assert not (output / "mistakes.png").exists()


def test_long_names_are_drawn_whole(tmp_path: Path) -> None:
    names = ["a class that is called by a rather long name, or by another", "short"]
    draw_confusion(np.array([[3, 1], [0, 2]]), names, tmp_path / "confusion.png")
    with Image.open(tmp_path / "confusion.png") as picture:
        grey = np.asarray(picture.convert("L"))
    edges = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    assert set(edges) == {255}


def test_figures_without_matplotlib_say_how_to_get_it(
    run: Run, bundle: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for name in ("plots", "evaluation_files"):
        monkeypatch.delitem(sys.modules, f"app.training.report.{name}", raising=False)
    code, out, err = run("evaluate", bundle, photos, "--output", tmp_path / "out")
    assert (code, out) == (1, "")
    assert err == "error: plots need matplotlib: run `make .venv/train`\n"
    assert not (tmp_path / "out").exists()


def test_broken_photos_are_skipped_by_name(run: Run, bundle: Path, photos: Path) -> None:
    (photos / "dog" / "broken.png").write_bytes((photos / "dog" / "0.png").read_bytes()[:3000])
    ended = run("evaluate", bundle, photos)
    metrics = document(ended)
    assert metrics["photos"] == 10
    assert [(Path(row["file"]).name, row["code"]) for row in metrics["skipped"]] == [
        ("broken.png", "broken_image")
    ]
    assert "broken.png: The PNG image is truncated" in ended.out


def test_names_that_are_not_utf8(run: Run, bundle: Path, photos: Path, tmp_path: Path) -> None:
    (photos / "cat" / "green.png").rename(photos / "cat" / "gr\udcfcn.png")
    (photos / "dog" / "caf\udce9.png").write_bytes(b"no photo")
    metrics = document(run("evaluate", bundle, photos, "--output", tmp_path / "out"))
    whole = json.loads((tmp_path / "out" / "evaluation.json").read_text("utf-8"))
    assert whole["skipped"] == metrics["skipped"]
    assert Path(metrics["skipped"][0]["file"]).read_bytes() == b"no photo"
    assert "gr\\udcfcn.png,cat,dog" in (tmp_path / "out" / "predictions.csv").read_text("utf-8")


def test_or_fatal_by_choice(run: Run, bundle: Path, photos: Path) -> None:
    (photos / "dog" / "broken.png").write_bytes(b"no photo")
    code, _, err = run("evaluate", bundle, photos, "--broken", "fail")
    assert code == 1
    assert err.startswith(f"error: {photos / 'dog' / 'broken.png'}: The file is not an image")
    assert err.count("\n") == 1


def test_nothing_that_can_be_read_is_one_line(run: Run, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "broken.png").write_bytes(b"no photo")
    code, _, err = run("evaluate", bundle, tmp_path)
    assert code == 1
    assert "no photo can be read" in err


def test_a_list_file_and_the_test_part(run: Run, bundle: Path, photos: Path) -> None:
    (photos / "list.txt").write_text("cat/0.png 0\ncat/green.png 0\ndog/0.png 1\n")
    assert document(run("evaluate", bundle, photos / "list.txt"))["top1"] == 0.666667
    both = photos.parent / "both"
    both.mkdir()
    photos.rename(both / "test")
    draw_classes(both / "train", {"cat": 1})
    assert document(run("evaluate", bundle, both))["photos"] == 10


@pytest.mark.parametrize(
    ("label", "folder"), [("dog, hound", "hound"), ("dog, hound", "dog, hound"), ("dog", "1")]
)
def test_a_folder_bears_a_synonym_or_a_number(
    run: Run, bundle: Path, tmp_path: Path, label: str, folder: str
) -> None:
    other = relabelled(bundle, tmp_path / "bundle", ["cat", label, "daisy"])
    for i in range(3):
        draw(tmp_path / "photos" / folder / f"{i}.png", COLOURS["dog"], i)
    metrics = document(run("evaluate", other, tmp_path / "photos"))
    assert (metrics["top1"], metrics["classes"]) == (1, 1)


@pytest.mark.parametrize("folder", ["3", "hound"])
def test_a_folder_that_is_no_class_is_one_line(
    run: Run, bundle: Path, tmp_path: Path, folder: str
) -> None:
    draw(tmp_path / "photos" / folder / "0.png", COLOURS["dog"], 0)
    code, _, err = run("evaluate", bundle, tmp_path / "photos")
    assert code == 1
    assert err == (
        f"error: {tmp_path / 'photos'}: no class is called {folder!r}: "
        "rename the folder to a label or to a number from 0 to 2\n"
    )


@pytest.mark.parametrize(
    "labels", [["crane", "daisy", "crane"], ["crane, bird", "daisy", "machine, crane"]]
)
def test_a_folder_that_is_two_classes_is_one_line(
    run: Run, bundle: Path, tmp_path: Path, labels: list[str]
) -> None:
    other = relabelled(bundle, tmp_path / "bundle", labels)
    draw(tmp_path / "photos" / "crane" / "0.png", COLOURS["dog"], 0)
    code, _, err = run("evaluate", other, tmp_path / "photos")
    assert code == 1
    assert err == (
        f"error: {tmp_path / 'photos'}: 'crane' may be class 0 ({labels[0]}) or 2 ({labels[2]}): "
        "rename the folder to the number of its class\n"
    )


def test_a_whole_label_is_meant_before_a_synonym(run: Run, bundle: Path, tmp_path: Path) -> None:
    other = relabelled(bundle, tmp_path / "bundle", ["mouth organ, harp", "harp", "daisy"])
    draw(tmp_path / "photos" / "harp" / "0.png", COLOURS["dog"], 0)
    assert document(run("evaluate", other, tmp_path / "photos"))["top1"] == 1


def test_a_model_without_labels_is_asked_by_number(run: Run, bundle: Path, tmp_path: Path) -> None:
    other = relabelled(bundle, tmp_path / "bundle", [])
    draw(tmp_path / "photos" / "2" / "0.png", COLOURS["Gänseblümchen"], 0)
    assert document(run("evaluate", other, tmp_path / "photos"))["top1"] == 1


def relabelled(bundle: Path, folder: Path, labels: list[str]) -> Path:
    shutil.copytree(bundle, folder)
    config = yaml.safe_load((folder / "inference.yml").read_text("utf-8"))
    config["PostProcess"]["Topk"]["label_list"] = labels
    (folder / "inference.yml").write_text(yaml.safe_dump(config), "utf-8")
    return folder


def test_the_default_bundle_knows_photos_of_imagenet_classes(
    run: Run, default_bundle: Path, tmp_path: Path
) -> None:
    data = Path(skimage.__file__).parent / "data"
    for folder, photo in {"tiger cat": "chelsea.png", "espresso": "coffee.png"}.items():
        (tmp_path / folder).mkdir()
        shutil.copy(data / photo, tmp_path / folder)
    metrics = document(run("evaluate", default_bundle, tmp_path))
    assert (metrics["photos"], metrics["top1"]) == (2, 1)
