"""What 8 bits cost: answers compared with those in float32, on photos of which none was used."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from app.model.engine import Scores
from app.training.evaluation.intervals import wilson

_LEAST = 1e-12


@dataclass(frozen=True)
class Cost:
    """The cost of 8 bits.

    Attributes:
        photos: the number of photos.
        agreement: the share of photos with the same likeliest class as in float32.
        between: the 95 % interval of the agreement.
        kl: the mean Kullback-Leibler divergence of the scores from those in float32.
        top1_float32, top1: the share of right answers, if the photos are labelled.
    """

    photos: int
    agreement: float
    between: tuple[float, float]
    kl: float
    top1_float32: float | None = None
    top1: float | None = None

    @classmethod
    def measure(cls, exact: Scores, scores: Scores, truth: Sequence[int] = ()) -> Self:
        """Compare scores (N, classes) with those in float32; `truth` is empty or has N classes."""
        best, expected = scores.argmax(axis=1), exact.argmax(axis=1)
        agreed = int((best == expected).sum())
        p, q = (np.maximum(one.astype(np.float64), _LEAST) for one in (exact, scores))
        return cls(
            len(scores),
            agreed / len(scores),
            wilson(agreed, len(scores)),
            float((p * np.log(p / q)).sum(axis=1).mean()),
            _share(expected, truth),
            _share(best, truth),
        )

    def document(self) -> dict[str, Any]:
        """Return the cost as plain data for YAML."""
        rounded = {
            name: round(value, 4)
            for name, value in asdict(self).items()
            if isinstance(value, int | float)
        }
        return rounded | {"between": [round(bound, 4) for bound in self.between]}

    def __str__(self) -> str:
        low, high = self.between
        text = (
            f"on {self.photos} photos that were not used to make it, {self.agreement:.1%} have the "
            f"same likeliest class as in float32 (95 % interval {low:.1%} to {high:.1%}), "
            f"KL {self.kl:.4f}"
        )
        if self.top1 is None or self.top1_float32 is None:
            return text
        return f"{text}, top-1 {self.top1:.1%} instead of {self.top1_float32:.1%}"


def _share(best: npt.NDArray[np.intp], truth: Sequence[int]) -> float | None:
    return float((best == np.asarray(truth)).mean()) if len(truth) else None
