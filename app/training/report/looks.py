"""Small copies of photos for a page, and where a network looked on them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from app.errors import NoFeatures, NotExplainable, ServiceError, StartupError
from app.images.decoding import decode, decode_full
from app.images.files import contents
from app.images.heat import with_heat
from app.images.preprocessing import Pixels, Preprocessing
from app.model.features import FeatureNetwork

SIDE = 160  # pixels

# The network's pixels and a class give the map of this class, (h, w).
Heat = Callable[[Pixels, int], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Looks:
    """Draws small copies of photos.

    Attributes:
        max_pixels: larger photos are not drawn.
        spec: the preprocessing of the network.
        heat: gives the map of a class; None if no map would be exact for the network.
    """

    max_pixels: int
    spec: Preprocessing
    heat: Heat | None = None

    def at(self, path: Path) -> Image.Image | None:
        """Return a square copy of a photo; None if it cannot be read any more."""
        try:
            return _square(self._photo(path))
        except ServiceError:
            return None

    def heated(self, path: Path, class_id: int) -> Image.Image | None:
        """Return a square copy that shows where the network looked for a class, if it can."""
        if self.heat is None:
            return None
        try:
            photo = self._photo(path)
            pixels = decode(contents(path), self.spec, self.max_pixels).pixels
        except ServiceError:
            return None
        box = self.spec.box(*photo.size, photo.size)
        return _square(with_heat(photo, self.heat(pixels, class_id), box))

    def _photo(self, path: Path) -> Image.Image:
        return decode_full(contents(path), self.max_pixels, 2 * SIDE, self.spec.srgb)


def _square(photo: Image.Image) -> Image.Image:
    return ImageOps.pad(photo, (SIDE, SIDE), color="#303646")


def heat_of(make: Callable[[], FeatureNetwork]) -> Heat | None:
    """Return what gives the maps of the network that `make` loads; None if none are exact."""
    try:
        network = make()
    # A page without maps is better than none after a long evaluation.
    except (NoFeatures, NotExplainable, StartupError):
        return None
    if not network.explainable:
        return None

    def heat(pixels: Pixels, class_id: int) -> npt.NDArray[np.float32]:
        return network.activation_map(network(pixels[np.newaxis]), 0, class_id).values

    return heat
