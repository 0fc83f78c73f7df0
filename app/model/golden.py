"""Golden answers: a network's scores for one drawn picture, recorded when its bundle is built.

A worker that gives other answers has other weights or a broken library, so it must not serve.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from app.errors import BundleError
from app.settings import EngineName

# Another processor rounds differently, but other weights change a score far more than this.
TOLERANCE = 5e-3
# In bfloat16 a score may also differ by this share of itself. No network is sure about the drawn
# picture, so small errors change its scores a lot.
_BFLOAT16_SHARE = 0.5


@dataclass(frozen=True)
class Golden:
    """The highest scores for `drawn_picture()`: {class_id: score}."""

    scores: Mapping[int, float]

    @classmethod
    def record(cls, scores: npt.NDArray[np.float32], count: int = 5) -> Self:
        """Return golden answers of the `count` highest `scores` (classes,)."""
        best = np.argsort(-scores, kind="stable")[:count]
        return cls({int(class_id): round(float(scores[class_id]), 6) for class_id in best})

    @classmethod
    def parse(cls, answers: Any) -> Self:  # noqa: ANN401  (YAML)
        """Return the golden answers from the data that `as_list` returned.

        Raises:
            BundleError: `answers` does not have that form.
        """
        try:
            return cls({int(row["class_id"]): float(row["score"]) for row in answers})
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            raise BundleError("Provenance.golden is not readable") from error

    def as_list(self) -> list[dict[str, float]]:
        """Return the answers as plain data for YAML."""
        return [{"class_id": class_id, "score": s} for class_id, s in self.scores.items()]

    def agrees(self, scores: npt.NDArray[np.float32], engine: EngineName) -> bool:
        """Return whether `scores` (classes,) differ from the recorded ones by rounding at most."""
        share = _BFLOAT16_SHARE if engine == "paddle-bfloat16" else 0
        return all(
            0 <= class_id < len(scores)
            and abs(float(scores[class_id]) - score) <= TOLERANCE + share * score
            for class_id, score in self.scores.items()
        )


def drawn_picture(width: int, height: int) -> npt.NDArray[np.uint8]:
    """Return two gradients and a chequerboard (height, width, 3), the same on every machine."""
    y, x = np.mgrid[0:height, 0:width]
    red, green = (x * 255) // max(width - 1, 1), (y * 255) // max(height - 1, 1)
    blue = ((x // 16 + y // 16) % 2) * 255
    return np.stack([red, green, blue], axis=-1).astype(np.uint8)
