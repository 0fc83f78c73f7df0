"""How unequal the classes of a data set are, and which of them have few photos."""

from collections import Counter
from collections.abc import Sequence

from app.training.data.dataset import Sample

# If the largest class has more photos than this for each photo of the smallest, a network that
# never names the small classes still gets most photos right.
UNEQUAL_RATIO = 3.0
# Fewer photos than this teach a class badly, and a fifth of them measures it badly.
FEW_PHOTOS = 15


def counts(samples: Sequence[Sample], classes: int) -> list[int]:
    """Return the number of photos of each class."""
    found = Counter(sample.class_id for sample in samples)
    return [found[class_id] for class_id in range(classes)]


def ratio(samples: Sequence[Sample], classes: int) -> float:
    """Return how many photos the largest class has for each photo of the smallest that has any."""
    sizes = [count for count in counts(samples, classes) if count]
    return max(sizes) / min(sizes) if sizes else 1.0


def unequal(samples: Sequence[Sample], classes: int) -> bool:
    """Return whether the largest class is more than UNEQUAL_RATIO times the smallest."""
    return ratio(samples, classes) > UNEQUAL_RATIO
