"""Heat on a picture: the hottest place is the most colourful, and a cold one stays grey."""

import numpy as np
from PIL import Image

from app.images.heat import with_heat

PICTURE = Image.new("RGB", (70, 50), (200, 100, 50))


def colour(picture: Image.Image) -> np.ndarray:
    """Return how far each pixel is from grey: (H, W)."""
    distance: np.ndarray = np.ptp(np.asarray(picture).astype(int), axis=-1)
    return distance


def test_where_the_map_is_high_there_is_colour() -> None:
    values = np.zeros((5, 7), np.float32)
    values[1, 5] = 3
    drawn = with_heat(PICTURE, values)
    assert (drawn.mode, drawn.size) == ("RGB", PICTURE.size)
    y, x = np.unravel_index(colour(drawn).argmax(), (50, 70))
    assert 10 <= y < 20
    assert 50 <= x < 60
    assert colour(drawn)[30:, :40].max() == 0


def test_only_the_box_has_colour() -> None:
    drawn = with_heat(PICTURE, np.ones((2, 2), np.float32), (10.4, 5.0, 40.0, 29.6))
    coloured = colour(drawn) > 0
    expected = np.zeros((50, 70), bool)
    expected[5:30, 10:40] = True
    assert (coloured == expected).all()


def test_a_map_that_speaks_against_leaves_the_picture_grey() -> None:
    for value in (0, -2):
        drawn = with_heat(PICTURE, np.full((3, 3), value, np.float32))
        assert drawn == PICTURE.convert("L").convert("RGB")
