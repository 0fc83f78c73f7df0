"""A record: the row of a table about one photo."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app.model.post_process import Prediction
from app.model.unfamiliarity import is_unfamiliar

# Its keys are those of COLUMNS. A plain dictionary passes from machine to machine.
Record = dict[str, Any]

COLUMNS = (
    "path",
    "label",
    "score",
    "class_ids",
    "labels",
    "scores",
    "unfamiliar",
    "unfamiliarity",
    "error_code",
    "error",
)
EMBEDDING = "embedding"


@dataclass(frozen=True)
class Wishes:
    """What a record has.

    Attributes:
        top_k: how many classes at most; None means five, or all classes that reach the thresholds
            of the bundle.
        embeddings: whether it has the vector before the classifier, too.
    """

    top_k: int | None = None
    embeddings: bool = False

    @property
    def columns(self) -> Sequence[str]:
        """The keys of each record."""
        return (*COLUMNS, EMBEDDING) if self.embeddings else COLUMNS


def answered(
    name: str,
    predictions: Sequence[Prediction],
    embedding: npt.NDArray[np.float32] | None,
    unfamiliarity: float | None = None,
) -> Record:
    """Return the record of a photo that was classified.

    Args:
        name: of the photo; see `names`.
        predictions: the classes, the likeliest first; none if none reaches its threshold.
        embedding: (K,), the vector before the classifier.
        unfamiliarity: how far the photo is from all classes; None if the bundle cannot tell.
    """
    best = predictions[0] if predictions else None
    return {
        "path": name,
        "label": best.label if best else None,
        "score": best.score if best else None,
        "class_ids": [one.class_id for one in predictions],
        "labels": [one.label for one in predictions],
        "scores": [one.score for one in predictions],
        "unfamiliar": None if unfamiliarity is None else is_unfamiliar(unfamiliarity),
        "unfamiliarity": unfamiliarity,
        "error_code": None,
        "error": None,
        EMBEDDING: embedding,
    }


def failed(name: str, code: str, words: str) -> Record:
    """Return the record of a photo that cannot be classified, with the code and the reason."""
    empty = answered(name, (), None)
    return (
        empty
        | {"class_ids": None, "labels": None, "scores": None}
        | {
            "error_code": code,
            "error": words,
        }
    )
