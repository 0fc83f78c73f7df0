"""A small bundle that can tell what is unfamiliar: it knows reds, greens and blues."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from drawn import COLOURS, draw_classes
from networks import SIDE, colour_network, small_card

from app.training.data.holdout import read_divided
from app.training.network.export import export
from app.training.weights.unfamiliar import Fitted, add_unfamiliar

# White is as far from red as from green and blue.
WHITE = (250, 250, 250)


def export_telling(directory: Path, photos: Path) -> Fitted:
    """Write a bundle of colours to `directory`, and the photos that it knows to `photos`."""
    draw_classes(photos, dict.fromkeys(COLOURS, 10))
    export(colour_network(), small_card(), directory)
    known = read_divided(photos, 0.3, 0, 10**6, tuple(COLOURS))
    return add_unfamiliar(directory, known, 10**6)


def plain(colour: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    """Return the network's pixels (H, W, 3) of a picture of one colour."""
    return np.broadcast_to(np.array(colour, np.uint8), (SIDE, SIDE, 3)).copy()
