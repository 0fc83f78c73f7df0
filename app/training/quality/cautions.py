"""What is no error in a data set, but makes a classifier worse than its top-1 accuracy says."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from app.training.data.balance import FEW_PHOTOS, UNEQUAL_RATIO
from app.training.data.dataset import Dataset, few
from app.training.quality.check import CheckResult


def cautions(result: CheckResult, parts: Mapping[str, Dataset], size: int) -> Iterator[str]:
    """Yield a sentence for each caution.

    Args:
        result: the checked photos.
        parts: the data set; the first part is the one to learn from.
        size: the width and height of the network's input in pixels.
    """
    first, data = next(iter(parts.items()))
    learned = Counter(photo.label for photo in result.photos if photo.part == first)
    tested = {photo.label for photo in result.photos if photo.part != first}
    if len(data.classes) == 1:
        yield (
            f"there is only one class, {data.classes[0]}: a classifier needs two or more, "
            "each in a folder of its own"
        )
    yield from _few(learned)
    yield from _unequal(learned)
    if len(parts) > 1 and (untested := [name for name in learned if name not in tested]):
        yield f"no photo tells how well these classes are recognised: {few(sorted(untested))}"
    small = [photo.path for photo in result.photos if min(photo.size) < size]
    yield from _small(small, size)


def _few(learned: Counter[str]) -> Iterator[str]:
    scarce = sorted((count, name) for name, count in learned.items() if count < FEW_PHOTOS)
    if scarce:
        listed = few([f"{name} {count}" for count, name in scarce])
        yield (
            f"few photos to learn from: {listed}; with fewer than {FEW_PHOTOS}, "
            "a class is learned badly, and the few held-out photos measure it badly"
        )


def _unequal(learned: Counter[str]) -> Iterator[str]:
    order = learned.most_common()
    if order and order[0][1] > UNEQUAL_RATIO * order[-1][1]:
        (most, largest), (least, smallest) = order[0], order[-1]
        yield (
            f"the classes are unequal, from {most} with {largest} photos to {least} with "
            f"{smallest}: the top-1 accuracy hides small classes, the mean recall does not"
        )


def _small(small: list[Path], size: int) -> Iterator[str]:
    if small:
        are = "photos are" if len(small) > 1 else "photo is"
        yield (
            f"{len(small)} {are} smaller than the network's input, {size} x {size} pixels, "
            f"first {small[0]}: enlarged photos have no more detail"
        )
