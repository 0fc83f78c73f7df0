"""Draws the data sets of tests: photos whose class is their colour."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"cat": (200, 40, 40), "dog": (40, 200, 40), "Gänseblümchen": (40, 40, 200)}


def draw(
    path: Path, colour: tuple[int, int, int], seed: int, size: tuple[int, int] = (90, 80)
) -> None:
    """Write a noisy picture that depends on the seed, in the format of the path's suffix."""
    width, height = size
    noise = np.random.default_rng(seed).normal(0, 20, (height, width, 3))
    pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def draw_classes(folder: Path, counts: Mapping[str, int], first_seed: int = 0) -> None:
    """Write `counts[class]` pictures FOLDER/<class>/<number>.png; all of them differ."""
    for order, (name, count) in enumerate(counts.items()):
        for i in range(count):
            draw(folder / name / f"{i}.png", COLOURS[name], first_seed + 1000 * order + i)
