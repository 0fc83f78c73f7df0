"""Compares classifiers on the same photos: which of them is better, and whether that is sure."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import StartupError
from app.training.evaluation.evaluate import Evaluation
from app.training.evaluation.intervals import Paired


@dataclass(frozen=True)
class Contender:
    """A bundle that is compared, under the name that the user has given, and its evaluation."""

    name: str
    evaluation: Evaluation

    def rights(self) -> dict[Path, bool]:
        """Return for each photo whether its likeliest class is right."""
        result = self.evaluation.result
        right = (result.predicted == result.truth).tolist()
        return {s.path: ok for s, ok in zip(self.evaluation.samples, right, strict=True)}


@dataclass(frozen=True)
class Comparison:
    """A bundle beside the first one.

    Attributes:
        contender: the bundle.
        first: the bundle with which it is compared.
        pair: how many photos only one of them got right; the first of the pair is `contender`.
        differing: the photos that only one of them got right.
    """

    contender: Contender
    first: Contender
    pair: Paired
    differing: tuple[Path, ...]

    @property
    def verdict(self) -> str:
        """What these photos say of the bundle: better, worse or unclear."""
        low, high = self.pair.interval
        if low > 0:
            return "better"
        return "worse" if high < 0 else "unclear"

    def document(self) -> dict[str, Any]:
        """Return the comparison as plain data for JSON."""
        low, high = self.pair.interval
        return {
            "bundle": self.contender.name,
            "than": self.first.name,
            "photos": self.pair.photos,
            "only_this_right": self.pair.only_this,
            "only_that_right": self.pair.only_that,
            "difference": round(self.pair.difference, 6),
            "interval": [round(low, 6), round(high, 6)],
            "p_value": round(self.pair.p_value, 6),
            "verdict": self.verdict,
        }


def compare(contenders: Sequence[Contender]) -> list[Comparison]:
    """Return each bundle but the first one beside the first, on the photos that both could read.

    Raises:
        StartupError: there is no such photo.
    """
    first, *others = contenders
    return [_beside(other, first) for other in others]


def _beside(contender: Contender, first: Contender) -> Comparison:
    mine, theirs = contender.rights(), first.rights()
    common = [path for path in mine if path in theirs]
    if not common:
        raise StartupError(f"no photo can be read for both {contender.name} and {first.name}")
    differing = tuple(path for path in common if mine[path] != theirs[path])
    only_mine = sum(mine[path] for path in differing)
    pair = Paired(len(common), only_mine, len(differing) - only_mine)
    return Comparison(contender, first, pair, differing)


def document(contenders: Sequence[Contender], comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Return the bundles' metrics and the comparisons as plain data for JSON."""
    return {
        "bundles": [{"directory": c.name, **c.evaluation.document()} for c in contenders],
        "comparisons": [comparison.document() for comparison in comparisons],
    }
