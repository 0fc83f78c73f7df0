"""The limit of pixels: larger images are refused by their header, before they are decoded."""

import pytest
from costly import CORPUS, CostlyFile
from raw_files import bmp, tiff
from uploads import EYE, FORMATS, LIMIT, PIL, answer, encode

from app.errors import BrokenImage, TooManyPixels
from app.images.decoding import decode
from app.images.formats import Format

TOO_LARGE = [file for file in CORPUS if file.codes == {"too_many_pixels"}]


@pytest.mark.parametrize("kind", FORMATS)
def test_the_pixel_limit_is_inclusive(kind: Format) -> None:
    upload = encode(EYE, kind)
    assert decode(upload, PIL, 32 * 32).width == 32
    with pytest.raises(TooManyPixels, match="32 x 32"):
        decode(upload, PIL, 32 * 32 - 1)


@pytest.mark.parametrize("file", TOO_LARGE, ids=str)
def test_the_pixel_limit_is_checked_before_decoding(file: CostlyFile) -> None:
    # Most of the files have no pixel data, so decoding them would raise BrokenImage instead.
    with pytest.raises(TooManyPixels, match="at most 50 megapixels"):
        decode(file.draw(), PIL, LIMIT)


def test_the_pixel_limit_counts_a_tiffs_tile() -> None:
    header = (256, 300), (257, 300), (258, 8), (259, 8), (262, 1)
    for side, error in ((40_000, TooManyPixels), (304, BrokenImage)):
        upload = tiff(*header, (322, side), (323, side), (324, 8), (325, 8))
        with pytest.raises(error):
            decode(upload, PIL, LIMIT)
    assert answer(encode(EYE, "TIFF")) is not None


@pytest.mark.parametrize("size", [(1, 100_000), (100_000, 1)])
def test_no_side_is_too_long(size: tuple[int, int]) -> None:
    photo = decode(bmp(*size, 8, 0, bytes(400_000)), PIL, LIMIT)
    assert (photo.width, photo.height) == size
