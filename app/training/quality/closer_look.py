"""A closer look at the photos of a data set, with a trained network: crops and wrong labels."""

from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt

from app.training.copies.groups import contents_by_file
from app.training.copies.inspection import CheckedPhoto
from app.training.copies.near_duplicates import pairs_by_features, pairs_by_hash
from app.training.quality.check import CloserLook
from app.training.quality.wrong_labels import LEAST_PHOTOS, suspects, too_small


def look_closer(
    photos: Sequence[CheckedPhoto], features: npt.NDArray[np.float32], threads: int
) -> CloserLook:
    """Find near-duplicates and wrong labels.

    Args:
        photos: the readable photos, with thumbnails.
        features: (N, K), what the network sees in each photo.
        threads: how many of them compare photos.
    """
    thumbnails = np.stack([photo.thumbnail for photo in photos if photo.thumbnail is not None])
    hashed = pairs_by_hash([photo.print for photo in photos])
    cropped = pairs_by_features(features, thumbnails, threads)
    pairs = np.unique(np.concatenate([hashed, cropped]), axis=0)
    if not find_spec("sklearn"):
        return CloserLook(pairs, left_out=("wrong labels: scikit-learn is not installed",))
    content = contents_by_file(photos, pairs)
    labels, contents = [p.label for p in photos], [content[p.path] for p in photos]
    few = too_small(labels, contents)
    left_out = (f"wrong labels of classes with fewer than {LEAST_PHOTOS} photos: {', '.join(few)}",)
    found = suspects(features, labels, contents)
    return CloserLook(pairs, tuple(found), left_out if few else ())
