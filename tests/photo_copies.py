"""Photos for tests of near-duplicates, and copies of them."""

from pathlib import Path

import numpy as np
import skimage
from PIL import Image, ImageOps

from app.images.decoding import decode_full
from app.training.copies.fingerprint import Thumbnail, thumbnail

FOLDER = Path(skimage.__file__).parent / "data"
# Photos that the wheel of scikit-image contains.
NAMES = (
    *("astronaut.png", "chelsea.png", "coffee.png", "hubble_deep_field.jpg", "ihc.png"),
    *("motorcycle_left.png", "rocket.jpg", "camera.png", "coins.png", "grass.png"),
)


def photo(name: str) -> Image.Image:
    """Return a photo at most 400 pixels wide and high, as a camera's small photo."""
    picture = decode_full((FOLDER / name).read_bytes(), max_pixels=10**7)
    picture.thumbnail((400, 400))
    return picture


def scene(seed: int) -> Image.Image:
    """Return a picture with large and small shapes, different for each seed."""
    random = np.random.default_rng(seed)
    layers = [random.integers(0, 256, (side, side, 3), np.uint8) for side in (6, 40)]
    large, small = (Image.fromarray(layer).resize((240, 200)) for layer in layers)
    return Image.blend(large, small, 0.3)


def again(picture: Image.Image, folder: Path, quality: int = 50) -> Image.Image:
    """Return what is left of the picture after it was saved as a JPEG."""
    folder.mkdir(parents=True, exist_ok=True)
    picture.save(folder / "again.jpg", quality=quality)
    return decode_full((folder / "again.jpg").read_bytes(), max_pixels=10**7)


def resized(picture: Image.Image, factor: float) -> Image.Image:
    return picture.resize((round(picture.width * factor), round(picture.height * factor)))


def mirrored(picture: Image.Image) -> Image.Image:
    return ImageOps.mirror(picture)


def cropped(picture: Image.Image, left: float, top: float, right: float, low: float) -> Image.Image:
    """Return the picture without the given shares of its width and height."""
    width, height = picture.size
    edges = (left * width, top * height, (1 - right) * width, (1 - low) * height)
    left_edge, top_edge, right_edge, low_edge = map(round, edges)
    return picture.crop((left_edge, top_edge, right_edge, low_edge))


def stack(pictures: list[Image.Image]) -> Thumbnail:
    return np.stack([thumbnail(picture) for picture in pictures])
