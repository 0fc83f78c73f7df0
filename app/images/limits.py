"""The limit of an image's pixels.

A decoder process has limits of time and memory, which the kernel enforces whatever a file contains.
This limit needs only the file's header, so it refuses large images before they cost anything. The
decoder's limit of memory also follows from it.
"""

import math

from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TILELENGTH, TILEWIDTH, TiffImageFile

from app.errors import TooManyPixels


def check_pixels(image: ImageFile, max_pixels: int) -> None:
    """Check the size of an opened image before its pixels are decoded.

    Raises:
        TooManyPixels: the image or its tiles have more pixels than allowed.
    """
    sizes = [image.size]
    if isinstance(image, TiffImageFile):
        # libtiff decodes whole tiles, even if a tile is much larger than the image.
        tags = image.tag_v2
        sizes.append((int(tags.get(TILEWIDTH, 0)), int(tags.get(TILELENGTH, 0))))
    width, height = max(sizes, key=math.prod)
    if width * height > max_pixels:
        raise TooManyPixels(
            f"The image has {width} x {height} pixels; "
            f"at most {max_pixels / 1e6:g} megapixels are allowed"
        )
