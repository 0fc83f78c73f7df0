"""Classifies the photos of a request, and makes the bodies of the answers."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from app.api.parameters import Wishes
from app.api.problems import problem_of
from app.api.reception import Received
from app.api.schemas import Classification, Classifications, Model, Result, Timings
from app.errors import (
    BrokenImage,
    CostlyImage,
    DeadlineExceeded,
    EmptyFile,
    ServiceError,
    TooManyPixels,
    UnsupportedImage,
)
from app.images.decoding import UploadedImage
from app.model.bundle import Bundle
from app.serving.patience import Patience
from app.serving.service import Classified

_FAULTS_OF_PHOTOS = (BrokenImage, CostlyImage, EmptyFile, TooManyPixels, UnsupportedImage)


async def classify(given: Received, photo: bytes, wishes: Wishes) -> Classified:
    """Classify one photo of a request.

    Raises:
        ServiceError: there is no answer; the subclass says why.
    """
    return await _classify(given, photo, wishes, first=True)


async def outcomes(
    given: Received, photos: Sequence[bytes], wishes: Wishes
) -> Sequence[Classified | ServiceError]:
    """Classify several photos side by side. The first one has the turn, the others ask for theirs.

    The others wait as long as the client does, because the service has let the request in. Where
    keys have limits, they wait for places of the key, too.

    All answers are of one model: if a reload has come in between, the new model gets all photos.

    Raises:
        ServiceError: no photo has an answer, and this is not the photos' fault.
    """
    started = asyncio.get_running_loop().time()
    found = await asyncio.gather(
        *(_outcome(given, photo, wishes, first=not i) for i, photo in enumerate(photos))
    )
    errors = [outcome for outcome in found if isinstance(outcome, ServiceError)]
    if len(errors) == len(found) and not isinstance(errors[0], _FAULTS_OF_PHOTOS):
        raise errors[0]
    bundle = bundle_of(given, found)
    if all(each.bundle is bundle for each in found if isinstance(each, Classified)):
        return found
    allowed_s = min(wishes.time_allowed_s, given.service.settings.deadline_s)
    left_s = allowed_s - (asyncio.get_running_loop().time() - started)
    return await outcomes(given, photos, replace(wishes, time_allowed_s=left_s))


def bundle_of(given: Received, found: Sequence[Classified | ServiceError]) -> Bundle:
    """Return the bundle that has given the answers; the present one if there are no answers."""
    bundles = (outcome.bundle for outcome in found if isinstance(outcome, Classified))
    return next(bundles, given.service.bundle)


async def several(
    given: Received, photos: Sequence[bytes], wishes: Wishes, request_id: str
) -> Classifications:
    """Return the body of the answer to several photos.

    Raises:
        ServiceError: no photo has an answer, and this is not the photos' fault.
    """
    found = await outcomes(given, photos, wishes)
    return Classifications(
        model=Model.of(bundle_of(given, found)),
        results=[_result(outcome, wishes, request_id) for outcome in found],
    )


def classification(classified: Classified, wishes: Wishes) -> Classification:
    """Return the body of the answer to one photo."""
    far = classified.unfamiliarity
    return Classification(
        model=Model.of(classified.bundle),
        predictions=[each for each in classified.predictions if each.score >= wishes.min_score],
        unfamiliar=classified.unfamiliar,
        unfamiliarity=None if far is None else round(far, 6),
        image=image_of(classified),
        timings_ms=timings_of(classified),
    )


def image_of(classified: Classified) -> UploadedImage:
    """Return the description of the photo."""
    photo = classified.photo
    return UploadedImage(width=photo.width, height=photo.height, format=photo.format)


def timings_of(classified: Classified) -> Timings:
    """Return the time that the photo spent in each stage."""
    return Timings(**{stage: round(s * 1000, 2) for stage, s in classified.seconds.items()})


async def _classify(given: Received, photo: bytes, wishes: Wishes, first: bool) -> Classified:
    turn = given.turn if first else None
    # The time at the door is a part of the time that the client allows.
    allowed_s = wishes.time_allowed_s - (turn.waited_s if turn else 0.0)
    patience = Patience(allowed_s, given.gone, at_the_door=not first)
    return await given.service.classify(photo, wishes.top_k, patience, turn, wishes.question)


async def _outcome(
    given: Received, photo: bytes, wishes: Wishes, first: bool
) -> Classified | ServiceError:
    try:
        async with _placed(given, wishes, first) as wishes_left:
            return await _classify(given, photo, wishes_left, first)
    except ServiceError as error:
        return error


@asynccontextmanager
async def _placed(given: Received, wishes: Wishes, first: bool) -> AsyncIterator[Wishes]:
    """Hold a place of the key for one of several photos; yield the wishes with the time left.

    The first photo has the place of the request, and leaves it to the others.

    Raises:
        DeadlineExceeded: the key's other photos have kept all its places.
    """
    own = given.turn.place if given.turn else None
    if own is None:
        yield wishes
        return
    allowed_s = min(wishes.time_allowed_s, given.service.settings.deadline_s)
    clock = asyncio.get_running_loop().time
    latest = clock() + allowed_s
    try:
        async with asyncio.timeout_at(latest):
            place = own if first else await own.share.another()
    except TimeoutError:
        raise DeadlineExceeded from None
    try:
        yield replace(wishes, time_allowed_s=latest - clock())
    finally:
        place.release()


def _result(outcome: Classified | ServiceError, wishes: Wishes, request_id: str) -> Result:
    if isinstance(outcome, ServiceError):
        return Result(error=problem_of(outcome, request_id))
    answer = classification(outcome, wishes)
    return Result(
        predictions=answer.predictions,
        unfamiliar=answer.unfamiliar,
        unfamiliarity=answer.unfamiliarity,
        image=answer.image,
        timings_ms=answer.timings_ms,
    )
