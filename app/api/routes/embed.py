"""`POST /embed`: takes photos and returns the vectors that the network makes of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Depends, Request, Response

from app import errors
from app.api.accept import prefers
from app.api.answers import bundle_of, classify, image_of, outcomes, timings_of
from app.api.keys import API_KEY
from app.api.parameters import DEADLINE_MS, NORMALIZE, Wishes, vector_wishes_of
from app.api.photos import photos_of
from app.api.problems import documented, problem_of
from app.api.reception import Received, received
from app.api.responses import JSON, binary_response, json_response
from app.api.routes.direct import DirectRoute
from app.api.routes.predict import ERRORS, REQUEST_BODY
from app.api.schemas import Embedding, EmbeddingResult, Embeddings, Model, Timings
from app.errors import ServiceError
from app.serving.service import Classified

router = APIRouter(tags=["predict"], route_class=DirectRoute)

BINARY = "application/octet-stream"

_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {BINARY: {"schema": {"type": "string", "format": "binary"}}}}
}


@router.post(
    "/embed",
    dependencies=[Depends(API_KEY)],
    response_model=Embedding | Embeddings,
    responses=_RESPONSES | documented((*ERRORS, errors.NoFeatures)),
    openapi_extra=REQUEST_BODY | {"parameters": [NORMALIZE, DEADLINE_MS.documentation]},
    summary="The vector before the classifier",
)
async def embed(request: Request) -> Response:
    """Return the vector that the network's classifier gets for the photo, or for each photo.

    With `Accept: application/octet-stream`, it is raw float32 numbers, little-endian; those of
    several photos follow each other, and an error of one photo is the answer to all.
    """
    raw = prefers(request.headers.get("accept", ""), BINARY, JSON)
    wishes = vector_wishes_of(request)
    async with received(request) as given:
        photos = photos_of(
            given.body, request.headers.get("content-type", ""), given.service.settings
        )
        if photos.several:
            found = await outcomes(given, photos.data, wishes)
            return _raw(found, wishes) if raw else _several(given, found, wishes, request)
        classified = await classify(given, photos.data[0], wishes)
    if raw:
        return _raw([classified], wishes, timings_of(classified))
    embedding = Embedding(
        model=Model.of(classified.bundle),
        vector=_vector(classified, wishes).tolist(),
        image=image_of(classified),
        timings_ms=timings_of(classified),
    )
    return json_response(embedding, embedding.timings_ms)


def _several(
    given: Received,
    found: Sequence[Classified | ServiceError],
    wishes: Wishes,
    request: Request,
) -> Response:
    results = [_result(outcome, wishes, request.state.request_id) for outcome in found]
    return json_response(Embeddings(model=Model.of(bundle_of(given, found)), results=results))


def _result(outcome: Classified | ServiceError, wishes: Wishes, request_id: str) -> EmbeddingResult:
    if isinstance(outcome, ServiceError):
        return EmbeddingResult(error=problem_of(outcome, request_id))
    return EmbeddingResult(
        vector=_vector(outcome, wishes).tolist(),
        image=image_of(outcome),
        timings_ms=timings_of(outcome),
    )


def _raw(
    found: Sequence[Classified | ServiceError], wishes: Wishes, timings: Timings | None = None
) -> Response:
    """Return the vectors as bytes.

    Raises:
        ServiceError: a photo has no vector.
    """
    vectors = []
    for outcome in found:
        if isinstance(outcome, ServiceError):
            raise outcome
        vectors.append(_vector(outcome, wishes))
    return binary_response(np.stack(vectors).astype("<f4").tobytes(), BINARY, timings)


def _vector(classified: Classified, wishes: Wishes) -> npt.NDArray[np.float32]:
    assert classified.inspected  # noqa: S101  (the answer to a question has it)
    vector = classified.inspected.vector
    length = float(np.linalg.norm(vector))
    return vector / np.float32(length) if wishes.normalize and length else vector
