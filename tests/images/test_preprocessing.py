"""The size of a photo after resizing."""

from dataclasses import replace

import pytest
from uploads import PIL


@pytest.mark.parametrize(
    ("width", "height", "resized"),
    [
        (451, 300, (385, 256)),
        (300, 451, (256, 385)),
        (333, 500, (256, 384)),
        (1025, 512, (512, 256)),
        (1027, 512, (514, 256)),
        (1, 3000, (256, 768_000)),
        (1, 1, (256, 256)),
    ],
)
def test_the_long_side_is_rounded_as_paddleclas_rounds(
    width: int, height: int, resized: tuple[int, int]
) -> None:
    """Python and PaddleClas round 512.5 to its even neighbour, 512."""
    assert PIL.resized(width, height) == resized


def test_size_resizes_without_regard_to_the_aspect_ratio() -> None:
    spec = replace(PIL, resize_short=None, resize=(320, 240), crop=(320, 240))
    assert spec.resized(1000, 10) == (320, 240)
