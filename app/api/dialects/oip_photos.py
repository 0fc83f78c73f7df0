"""Classifies the photos of a request of the Open Inference Protocol."""

from collections.abc import Sequence

from app.api.answers import outcomes
from app.api.dialects.oip_request import Question
from app.api.parameters import Wishes
from app.api.reception import Received
from app.errors import ServiceError
from app.serving.service import Classified


async def classified(given: Received, question: Question, allowed_s: float) -> Sequence[Classified]:
    """Classify all photos: the protocol has no place for the error of a single one.

    Raises:
        ServiceError: a photo has no answer; the message says which one.
    """
    photos = question.photos
    found: list[Classified] = []
    for i, outcome in enumerate(await outcomes(given, photos, Wishes(1, 0.0, allowed_s))):
        if isinstance(outcome, ServiceError):
            where = f"Photo {i + 1} of {len(photos)}: " if len(photos) > 1 else ""
            raise type(outcome)(f"{where}{outcome}", outcome.retry_after_s) from outcome
        found.append(outcome)
    return found
