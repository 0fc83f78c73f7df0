"""Intervals that say how much a share of a number of photos can tell."""

import math
from typing import NamedTuple

# The quantile of the normal distribution that belongs to intervals of 95 %.
_Z = 1.959963984540054


class Paired(NamedTuple):
    """Two classifiers, this one and that one, that answered the same photos.

    Attributes:
        photos: how many photos.
        only_this, only_that: how many photos only this one, or only that one, got right.
    """

    photos: int
    only_this: int
    only_that: int

    @property
    def difference(self) -> float:
        """This one's accuracy minus that one's."""
        return (self.only_this - self.only_that) / self.photos

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the difference.

        Source: Bonett and Price, "Adjusted Wald Confidence Interval for a Difference of Binomial
        Proportions Based on Paired Data", https://doi.org/10.3102/1076998611411915. Fagerland,
        Lydersen and Laake recommend it, https://doi.org/10.1002/sim.6148.
        """
        photos = self.photos + 2
        this, that = (self.only_this + 1) / photos, (self.only_that + 1) / photos
        middle = this - that
        half = _Z * math.sqrt((this + that - middle**2) / photos)
        return max(-1.0, middle - half), min(1.0, middle + half)

    @property
    def p_value(self) -> float:
        """The p-value of McNemar's test, as mid-p: how usual such a difference is by chance.

        Source: Fagerland, Lydersen and Laake, "The McNemar test for binary matched-pairs data:
        mid-p and asymptotic are better than exact conditional",
        https://doi.org/10.1186/1471-2288-13-91.
        """
        differing = self.only_this + self.only_that
        fewer = min(self.only_this, self.only_that)
        # Python's integers are exact, however many photos differ.
        rarer, ways = 0, 1
        for k in range(fewer):
            rarer += ways
            ways = ways * (differing - k) // (k + 1)
        return min(1.0, (2 * rarer + ways) / (1 << differing))


def wilson(right: int, photos: int) -> tuple[float, float]:
    """Return the 95 % interval of a share: `right` of `photos`, which are more than 0.

    Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference",
    https://doi.org/10.1080/01621459.1927.10502953.
    """
    share, spread = right / photos, _Z**2 / photos
    middle = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * math.sqrt(share * (1 - share) / photos + spread / (4 * photos))
    return max(0.0, middle - half), min(1.0, middle + half)
