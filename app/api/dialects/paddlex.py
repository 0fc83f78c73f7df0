"""PaddleX's basic serving: `POST /image-classification`."""

import asyncio
import base64
import io
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from PIL import Image

from app.api.answers import classify
from app.api.dialects.counts import count_of
from app.api.parameters import Wishes, time_allowed_s
from app.api.photos import checked, from_base64, json_object
from app.api.problems import ErrorForm
from app.api.reception import received
from app.api.routes.direct import DirectRoute
from app.errors import InvalidRequest, MissingFile, ServiceError
from app.images.captions import captioned
from app.images.preprocessing import Pixels
from app.model.post_process import Prediction

NAME = "paddlex"


def _error_fields(error: ServiceError, request_id: str) -> dict[str, object]:
    return {"logId": request_id, "errorCode": error.status, "errorMsg": str(error)}


class _Route(DirectRoute):
    dialect = NAME
    error_form = ErrorForm("application/json", _error_fields)


router = APIRouter(route_class=_Route, include_in_schema=False)


@router.post("/image-classification")
async def image_classification(request: Request) -> Response:
    """Return the categories of a photo, the likeliest first."""
    allowed_s = time_allowed_s(request)
    async with received(request) as given:
        fields = json_object(given.body)
        if "image" not in fields:
            raise MissingFile("The JSON body has no 'image' with a photo in base64")
        photo = checked(from_base64(fields["image"]), given.service.settings)
        top_k = _top_k(fields, given.service.pool.classes)
        classified = await classify(given, photo, Wishes(top_k, 0.0, allowed_s))
    image = None
    if classified.pixels is not None and fields.get("visualize") is not False:
        image = await asyncio.to_thread(_drawn, classified.pixels, classified.predictions)
    return JSONResponse(
        {
            "logId": request.state.request_id,
            "errorCode": 0,
            "errorMsg": "Success",
            "result": {
                "categories": [_category(each) for each in classified.predictions],
                "image": image,
            },
        }
    )


def _top_k(fields: dict[str, Any], classes: int) -> int | None:
    """Return how many categories a client asks for: as PaddleX 3 does, or as its beta did."""
    older = fields.get("inferenceParams") or {}
    if not isinstance(older, dict):
        raise InvalidRequest("'inferenceParams' is not an object")
    newer = count_of("topk", fields.get("topk"), classes)
    return newer or count_of("inferenceParams.topK", older.get("topK"), classes)


def _category(prediction: Prediction) -> dict[str, object]:
    return {
        "id": prediction.class_id,
        "name": prediction.label,
        "score": prediction.score,
    }


def _drawn(pixels: Pixels, predictions: Sequence[Prediction]) -> str:
    """Return what the network saw with the likeliest class on it, as a JPEG in base64.

    The photo itself is not drawn on, because the server's own process opens no photo.
    """
    file = io.BytesIO()
    captions = [f"{best.label}  {best.score:.3f}" for best in predictions[:1]]
    captioned(Image.fromarray(pixels), captions).save(file, "JPEG", quality=90)
    return base64.b64encode(file.getvalue()).decode()
