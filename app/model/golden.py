"""Golden answers: what a network says of one drawn picture, recorded when its bundle is built.

A worker that gives other answers runs other weights or a broken library, and must not serve.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from app.errors import BundleError
from app.settings import EngineName

# Room for another processor's rounding, far below what another file of weights would do.
TOLERANCE = 5e-3
# In bfloat16, of a score that much beside: the drawn picture is none that a network is sure about.
_OF_SCORE = 0.5


@dataclass(frozen=True)
class Golden:
    """The highest scores for `drawn_picture()`: {class_id: score}."""

    scores: Mapping[int, float]

    @classmethod
    def record(cls, scores: npt.NDArray[np.float32], count: int = 5) -> Self:
        """Keep the `count` highest of `scores` (classes,)."""
        best = np.argsort(-scores, kind="stable")[:count]
        return cls({int(class_id): round(float(scores[class_id]), 6) for class_id in best})

    @classmethod
    def parse(cls, answers: Any) -> Self:  # noqa: ANN401  (YAML)
        """Read back what `as_list` wrote.

        Raises:
            BundleError: it is not of that form.
        """
        try:
            return cls({int(row["class_id"]): float(row["score"]) for row in answers})
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            raise BundleError("Provenance.golden is not readable") from error

    def as_list(self) -> list[dict[str, float]]:
        """Return plain data for YAML."""
        return [{"class_id": class_id, "score": s} for class_id, s in self.scores.items()]

    def agrees(self, scores: npt.NDArray[np.float32], engine: EngineName) -> bool:
        """Tell whether `scores` (classes,) are the recorded ones, as near as `engine` comes."""
        part = _OF_SCORE if engine == "paddle-bfloat16" else 0
        return all(
            0 <= class_id < len(scores)
            and abs(float(scores[class_id]) - score) <= TOLERANCE + part * score
            for class_id, score in self.scores.items()
        )


def drawn_picture(width: int, height: int) -> npt.NDArray[np.uint8]:
    """Draw two slopes and a chequerboard, (height, width, 3), the same on every machine."""
    y, x = np.mgrid[0:height, 0:width]
    red, green = (x * 255) // max(width - 1, 1), (y * 255) // max(height - 1, 1)
    blue = ((x // 16 + y // 16) % 2) * 255
    return np.stack([red, green, blue], axis=-1).astype(np.uint8)
