"""`POST /explain`: takes a photo and returns where the network looked for a class."""

from typing import Any

import numpy as np
from fastapi import APIRouter, Depends, Request, Response

from app import errors
from app.api.accept import prefers
from app.api.answers import classify, image_of, timings_of
from app.api.keys import API_KEY
from app.api.parameters import CLASS_INDEX, DEADLINE_MS, map_wishes_of
from app.api.photos import photos_of
from app.api.problems import documented
from app.api.reception import received
from app.api.responses import JSON, binary_response, json_response
from app.api.routes.direct import DirectRoute
from app.api.routes.predict import ERRORS, REQUEST_BODY
from app.api.schemas import Explanation, Model
from app.errors import InvalidRequest
from app.serving.service import Classified

router = APIRouter(tags=["predict"], route_class=DirectRoute)

PNG = "image/png"

_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {PNG: {"schema": {"type": "string", "format": "binary"}}}}
}


@router.post(
    "/explain",
    dependencies=[Depends(API_KEY)],
    response_model=Explanation,
    responses=_RESPONSES | documented((*ERRORS, errors.NotExplainable, errors.NoFeatures)),
    openapi_extra=REQUEST_BODY
    | {"parameters": [each.documentation for each in (CLASS_INDEX, DEADLINE_MS)]},
    summary="Where did the network look?",
)
async def explain(request: Request) -> Response:
    """Return the class activation map of a class, by default the likeliest one.

    With `Accept: image/png`, the map is drawn on the part of the photo that the network sees.
    """
    drawn = prefers(request.headers.get("accept", ""), PNG, JSON)
    wishes = map_wishes_of(request, "picture" if drawn else "map")
    async with received(request) as given:
        photos = photos_of(
            given.body, request.headers.get("content-type", ""), given.service.settings
        )
        if photos.several:
            raise InvalidRequest("/explain takes one photo; send a request for each")
        classified = await classify(given, photos.data[0], wishes)
    return _response(classified)


def _response(classified: Classified) -> Response:
    inspected, timings = classified.inspected, timings_of(classified)
    assert inspected  # noqa: S101  (the answer to a question has it)
    assert inspected.map  # noqa: S101
    if inspected.picture:
        return binary_response(inspected.picture, PNG, timings)
    rows, columns = inspected.map.values.shape
    explanation = Explanation(
        model=Model.of(classified.bundle),
        class_id=inspected.class_id,
        label=classified.bundle.label(inspected.class_id),
        score=round(min(1.0, float(inspected.scores[inspected.class_id])), 6),
        map=inspected.map.values.astype(np.float64).round(6).tolist(),
        size=(rows, columns),
        bias=round(inspected.map.bias, 6),
        image=image_of(classified),
        timings_ms=timings,
    )
    return json_response(explanation, timings)
