"""`predict --save`: labelled copies are readable and upright, and never overwrite a photo."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import skimage
from commands import Run
from networks import linear_network, small_card
from PIL import ExifTags, Image, ImageChops

from app.errors import StartupError
from app.images import heif
from app.images.captions import captioned
from app.images.formats import FORMATS
from app.model.bundle import load_bundle
from app.training.network.export import export

CHELSEA = Path(skimage.__file__).parent / "data" / "chelsea.png"
FONT = Path(skimage.__file__).parents[1] / "matplotlib/mpl-data/fonts/ttf/DejaVuSans.ttf"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A PNG, a damaged PNG, and a subfolder with another `cat.png` and a JPEG on its side."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    shutil.copy(CHELSEA, folder / "cat.png")
    Image.new("RGB", (30, 20), "white").save(folder / "more" / "cat.png")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.open(CHELSEA).save(folder / "more" / "side.jpg", exif=exif)
    (folder / "damaged.png").write_bytes(CHELSEA.read_bytes()[:5000])
    return folder


def test_a_picture_for_each_photo(
    run: Run, photos: Path, small_bundle: Path, tmp_path: Path
) -> None:
    before = {path: path.read_bytes() for path in photos.rglob("*.*")}
    saved = tmp_path / "saved"
    # The exit code is 1, because one photo is damaged.
    assert run("predict", photos, "--model-dir", small_bundle, "--save", saved).code == 1
    written = sorted(str(path.relative_to(saved)) for path in saved.rglob("*.*"))
    assert written == ["cat.png", "more/cat.png", "more/side.jpg"]
    assert {path: path.read_bytes() for path in photos.rglob("*.*")} == before
    with Image.open(saved / "cat.png") as picture, Image.open(CHELSEA) as photo:
        assert picture.format == "PNG"
        changed = ImageChops.difference(picture, photo.convert("RGB")).getbbox()
        left, top, right, bottom = changed or (0, 0, 0, 0)
        assert (left, right, bottom) == (0, *photo.size)
        # Only the label at the bottom differs from the photo.
        assert top > 0.8 * photo.height
    with Image.open(saved / "more" / "side.jpg") as picture:
        assert picture.format == "JPEG"
        assert picture.size == (300, 451)
        assert ExifTags.Base.Orientation not in picture.getexif()


def test_copies_show_where_the_network_looked(
    run: Run, photos: Path, small_bundle: Path, tmp_path: Path
) -> None:
    saved = tmp_path / "saved"
    command = ("predict", photos / "cat.png", photos / "more" / "side.jpg")
    options = ("--model-dir", small_bundle, "--explain", "--save", saved)
    assert run(*command, *options).code == 0
    spec = load_bundle(small_bundle).preprocessing
    for path, size in ((saved / "cat.png", (451, 300)), (saved / "more" / "side.jpg", (300, 451))):
        with Image.open(path) as picture:
            assert picture.size == size
            pixels = np.asarray(picture).astype(int)
        # JPEG's colours blur a little.
        coloured = np.ptp(pixels, axis=-1) > 16
        left, top, right, bottom = map(round, spec.box(*size, size))
        assert coloured[top:bottom, left:right].any()
        coloured[top - 8 : bottom + 8, left - 8 : right + 8] = False
        assert not coloured.any()


def test_explain_needs_a_folder_and_a_network_with_maps(
    run: Run, photos: Path, small_bundle: Path, tmp_path: Path
) -> None:
    command = ("predict", photos, "--explain")
    ended = run(*command, "--model-dir", small_bundle)
    assert (ended.code, "name their folder with --save" in ended.err) == (1, True)
    export(linear_network(), small_card(), tmp_path / "linear")
    ended = run(*command, "--model-dir", tmp_path / "linear", "--save", tmp_path / "saved")
    assert ended.err == "error: No map would be exact for the model's network\n"
    assert not (tmp_path / "saved").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
def test_name_and_format_stay(run: Run, small_bundle: Path, tmp_path: Path, kind: str) -> None:
    # The ending of this name does not show the format.
    photo = tmp_path / "photos" / "Kätzchen.1"
    photo.parent.mkdir()
    assert heif.available()
    Image.open(CHELSEA).save(photo, kind)
    assert run("predict", photo, "--model-dir", small_bundle, "--save", tmp_path).code == 0
    with Image.open(photo) as before, Image.open(tmp_path / photo.name) as after:
        assert (before.format, before.size) == (after.format, after.size)


@pytest.mark.parametrize("colour", ["white", "black", "#777777", "yellow"])
def test_it_is_readable_on_any_background(colour: str) -> None:
    picture = captioned(Image.new("RGB", (224, 224), colour), ["tiger cat  0.395"])
    band = np.asarray(picture.convert("L"), np.float64)[-15:]
    assert band.max() == 255
    assert np.median(band) < 90


@pytest.mark.parametrize("label", ["Gänseblümchen", "向日葵", "Подсолнух", "عباد", "🌻", "", "\n"])
def test_every_label_can_be_written(label: str) -> None:
    blank = Image.new("RGB", (224, 224))
    assert captioned(blank, [f"{label}  0.395"]).size == blank.size


def test_a_font_brings_its_letters() -> None:
    blank = Image.new("RGB", (224, 224))
    drawn = {letters: captioned(blank, [letters], FONT).tobytes() for letters in ("ЖЖЖ", "ШШШ")}
    boxes = {letters: captioned(blank, [letters]).tobytes() for letters in drawn}
    assert len(set(drawn.values())) == 2
    assert len(set(boxes.values())) == 1
    with pytest.raises(StartupError, match="is not a readable font file"):
        captioned(blank, ["cat"], CHELSEA)


def test_what_is_too_long_is_cut() -> None:
    blank = Image.new("RGB", (224, 224))
    one, other = (captioned(blank, ["ab" * 100 + end]).tobytes() for end in ("x", "y"))
    assert one == other


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (500, 3), (16, 16), (5000, 3000)])
def test_any_picture_gets_words(size: tuple[int, int]) -> None:
    picture = captioned(Image.new("RGB", size), ["tiger cat  0.395"])
    assert 160 <= min(picture.size) <= max(picture.size) <= 2048
    assert np.asarray(picture).max() > 200


def test_a_photo_is_never_overwritten(
    run: Run, photos: Path, small_bundle: Path, tmp_path: Path
) -> None:
    before = (photos / "cat.png").read_bytes()
    link = tmp_path / "link"
    link.symlink_to(photos)
    for saved in (photos, link, photos / "more" / ".."):
        code, _, err = run("predict", photos, "--model-dir", small_bundle, "--save", saved)
        assert code == 1
        assert "is a photo itself" in err
    assert (photos / "cat.png").read_bytes() == before
