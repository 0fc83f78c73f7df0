"""Hugging Face's image classification: the photo or JSON in, a list of labels out."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from app.api.answers import classify
from app.api.dialects.counts import count_of
from app.api.parameters import Wishes, time_allowed_s
from app.api.photos import JSON, checked, from_base64, json_object, media_type
from app.api.problems import ErrorForm
from app.api.reception import received
from app.api.routes.direct import DirectRoute
from app.errors import InvalidRequest, MissingFile
from app.serving.service import Service

NAME = "huggingface"


class _Route(DirectRoute):
    dialect = NAME
    error_form = ErrorForm("application/json", lambda error, _: {"error": str(error)})


router = APIRouter(route_class=_Route, include_in_schema=False)


@router.post("/huggingface")
async def image_classification(request: Request) -> Response:
    """Return the labels of a photo with their scores, the likeliest first."""
    allowed_s = time_allowed_s(request)
    async with received(request) as given:
        is_json = media_type(request.headers.get("content-type", "")) == JSON
        photo, parameters = _of_json(given.body) if is_json else (given.body, {})
        top_k = _top_k(parameters, given.service)
        photo = checked(photo, given.service.settings)
        classified = await classify(given, photo, Wishes(top_k, 0.0, allowed_s))
    return JSONResponse(
        [{"label": each.label, "score": each.score} for each in classified.predictions]
    )


def _of_json(body: bytes) -> tuple[bytes, dict[str, Any]]:
    fields = json_object(body)
    if "inputs" not in fields:
        raise MissingFile("The JSON body has no 'inputs' with a photo in base64")
    parameters = fields.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise InvalidRequest("'parameters' is not an object")
    return from_base64(fields["inputs"]), parameters


def _top_k(parameters: dict[str, Any], service: Service) -> int | None:
    applied = "softmax" if service.bundle.post_process.exclusive else "sigmoid"
    if parameters.get("function_to_apply") not in (None, applied):
        raise InvalidRequest(f"'function_to_apply' must be {applied}: the scores are probabilities")
    return count_of("top_k", parameters.get("top_k"), service.pool.classes)
