"""The photos that the load tool sends, from a folder or from scikit-image."""

import io
from pathlib import Path

import pytest
from load_data import write_photos
from PIL import Image

from app.bench.load.photos import MEGAPIXELS, photos_to_send
from app.errors import StartupError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_photos(tmp_path)
    return tmp_path


def test_photos_of_a_folder_with_their_labels(folder: Path) -> None:
    photos = photos_to_send(folder)
    assert [(p.name, p.class_index) for p in photos] == [
        ("a.png", 1),
        ("b.png", 7),
        ("c.png", None),
    ]


@pytest.mark.parametrize(("megapixels", "size"), [(MEGAPIXELS, (500, 375)), (1.92, (1600, 1200))])
def test_photos_that_are_shipped(megapixels: float, size: tuple[int, int]) -> None:
    photos = photos_to_send(None, megapixels)
    assert len(photos) >= 8
    for photo in photos:
        with Image.open(io.BytesIO(photo.data)) as image:
            assert (image.format, image.size) == ("JPEG", size)


@pytest.mark.parametrize(
    ("labels", "message"), [("file\na.png\n", "labels.csv is not of the form"), (None, "no images")]
)
def test_photos_of_no_use(folder: Path, labels: str | None, message: str) -> None:
    if labels:
        (folder / "labels.csv").write_text(labels)
    else:
        for file in folder.glob("*.png"):
            file.unlink()
    with pytest.raises(StartupError, match=message):
        photos_to_send(folder)


def test_photos_are_looked_for_in_folders_only(folder: Path) -> None:
    for path in (folder / "nowhere", next(folder.glob("*.png"))):
        with pytest.raises(StartupError, match="is not a folder"):
            photos_to_send(path)
