"""Results and photos for the tests of the load tool."""

from pathlib import Path

import numpy as np
from PIL import Image

from app.bench.load.generator import Result


def result(at: float, took: float = 0.1, status: int = 200, reason: str = "") -> Result:
    """Return the result of a request that was sent in time, at `at`, and took `took` seconds."""
    return Result(at, at, at + took, status, reason, 0)


def write_photos(folder: Path) -> None:
    """Write three pictures, labels for two pictures, and a file that is not a picture."""
    for i, name in enumerate("abc"):
        pixels = np.full((40, 50, 3), 80 * i, np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    (folder / "labels.csv").write_text("file,class_index,name\na.png,1,x\nb.png,7,y\n")
    (folder / "notes.txt").write_text("no photo")
