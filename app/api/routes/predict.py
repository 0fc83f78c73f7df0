"""`POST /predict`: takes a photo and returns its classes."""

import asyncio

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from app import errors
from app.api.answers import classification, classify, several
from app.api.body import check_announced, read_body
from app.api.keys import API_KEY, check_api_key
from app.api.parameters import PARAMETERS, wishes_of
from app.api.photos import photos_of
from app.api.problems import documented
from app.api.routes.direct import DirectRoute
from app.api.schemas import Classification, Classifications, Timings
from app.images.formats import FORMATS
from app.serving.admission import Turn
from app.serving.service import Service

router = APIRouter(tags=["predict"], route_class=DirectRoute)

_ERRORS = (
    errors.MalformedBody,
    errors.Unauthorized,
    errors.OriginNotAllowed,
    errors.UploadTimeout,
    errors.FileTooLarge,
    errors.TooManyPixels,
    errors.UnsupportedImage,
    errors.InvalidRequest,
    errors.MissingFile,
    errors.EmptyFile,
    errors.BrokenImage,
    errors.CostlyImage,
    errors.Overloaded,
    errors.ServiceError,
    errors.InferenceFailed,
    errors.NotReady,
    errors.Draining,
    errors.WorkerLost,
    errors.DeadlineUnreachable,
    errors.DeadlineExceeded,
)

# The body is described by hand, because the route reads it only after its checks. If it were a
# parameter of the route, FastAPI would read it before them.
_BINARY = {"type": "string", "format": "binary"}
_BASE64 = {"type": "string", "description": "A photo in base64, or a data URL"}
_TIMING = {
    "Server-Timing": {
        "description": "Milliseconds of each stage, on the answer to one photo",
        "schema": {"type": "string"},
        "example": "decode;dur=2.2, queue;dur=0.1, inference;dur=11.1, total;dur=13.4",
    }
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "file": _BINARY | {"description": f"{', '.join(FORMATS)}"},
                        "files": {
                            "type": "array",
                            "items": _BINARY,
                            # Without this, Swagger UI sends the word "string" as a photo.
                            "example": [],
                            "description": "Several photos; the answer is a list of results",
                        },
                    },
                }
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {"image": _BASE64, "images": {"type": "array", "items": _BASE64}},
                }
            },
            "application/octet-stream": {"schema": _BINARY},
            "image/*": {"schema": _BINARY},
        },
    },
    "parameters": [parameter.documentation for parameter in PARAMETERS],
}


@router.put("/predict", include_in_schema=False)
@router.post(
    "/predict",
    dependencies=[Depends(API_KEY)],
    response_model=Classification | Classifications,
    responses={200: {"headers": _TIMING}, **documented(_ERRORS)},
    openapi_extra=_BODY,
    summary="What is in this photo?",
)
async def predict(request: Request) -> Response:
    """Return the classes that the photo most likely shows, the likeliest first.

    Several photos get a list of results: an answer or an error for each.
    """
    service: Service = request.app.state.service
    settings = service.settings
    await check_api_key(request, settings)
    wishes = wishes_of(request)
    check_announced(request, settings)
    turn: Turn | None = getattr(request.state, "turn", None)
    with service.admission.hold(turn) as upload:
        body = await read_body(request, settings, upload)
        photos = photos_of(body, request.headers.get("content-type", ""), settings)
        gone = asyncio.create_task(_hung_up(request))
        try:
            if photos.several:
                answers = await several(
                    service, photos.data, wishes, gone, turn, request.state.request_id
                )
                return _response(answers, {})
            classified = await classify(service, photos.data[0], wishes, gone, turn)
        finally:
            gone.cancel()
    answer = classification(classified, wishes)
    return _response(answer, {"Server-Timing": _server_timing(answer.timings_ms)})


def _response(answer: BaseModel, headers: dict[str, str]) -> Response:
    content = answer.model_dump_json(exclude_none=True)
    return Response(content, headers=headers, media_type="application/json")


async def _hung_up(request: Request) -> None:
    """Return when the client has closed the connection. The body must have been read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _server_timing(timings: Timings) -> str:
    return ", ".join(f"{stage};dur={duration}" for stage, duration in timings)
