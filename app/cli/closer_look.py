"""The slow part of `dataset check`: a model looks at the photos."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from app.cli.terminal import with_progress
from app.errors import BundleError, NoFeatures, StartupError
from app.settings import Settings

if TYPE_CHECKING:
    from app.training.copies.inspection import CheckedPhoto
    from app.training.quality.check import CloserLook


def closer_look(
    photos: "Sequence[CheckedPhoto]", settings: Settings, *, required: bool
) -> "CloserLook":
    """Return what the model of `settings` finds in the photos, which have thumbnails.

    Without a usable model, only the hashes of the photos are compared.

    Raises:
        BundleError, NoFeatures, StartupError, OSError: the model is `required`, and cannot be used.
    """
    from app.host import granted_cores
    from app.model.bundle import load_bundle
    from app.model.features import FeatureNetwork
    from app.training.copies.near_duplicates import pairs_by_hash
    from app.training.data.served import served
    from app.training.quality.check import CloserLook
    from app.training.quality.closer_look import look_closer

    try:
        bundle = load_bundle(settings.model_dir)
        network = FeatureNetwork(bundle, settings.device, granted_cores(), settings.engine)
    except (BundleError, NoFeatures, StartupError, OSError) as error:
        if required:
            raise
        reason = (
            f"crops and wrong labels, which need a model: {error}; "
            "`make weights` builds the default model, and --model-dir takes another"
        )
        return CloserLook(pairs_by_hash([photo.print for photo in photos]), (), (reason,))
    if not photos:
        return CloserLook(pairs_by_hash([]))
    cores, paths = granted_cores(), [photo.path for photo in photos]
    batches = served(paths, network.bundle.preprocessing, settings.max_pixels)
    vectors = (vector for pixels in batches for vector in network(pixels).vectors)
    seen = np.stack(list(with_progress(vectors, len(paths))))
    print(f"comparing {len(photos)} photos, and their labels", file=sys.stderr)
    return look_closer(photos, seen, cores)
