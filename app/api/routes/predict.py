"""`POST /predict`: takes a photo and returns its classes."""

from fastapi import APIRouter, Depends, Request, Response

from app import errors
from app.api.answers import classification, classify, several
from app.api.keys import API_KEY
from app.api.parameters import PARAMETERS, wishes_of
from app.api.photos import photos_of
from app.api.problems import documented
from app.api.reception import received
from app.api.responses import json_response
from app.api.routes.direct import DirectRoute
from app.api.schemas import Classification, Classifications
from app.images.formats import FORMATS

router = APIRouter(tags=["predict"], route_class=DirectRoute)

# The errors of each route that takes photos.
ERRORS = (
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
    errors.KeyRate,
    errors.KeyBusy,
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
REQUEST_BODY = {
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
}


@router.put("/predict", include_in_schema=False)
@router.post(
    "/predict",
    dependencies=[Depends(API_KEY)],
    response_model=Classification | Classifications,
    responses={200: {"headers": _TIMING}, **documented(ERRORS)},
    openapi_extra=REQUEST_BODY | {"parameters": [each.documentation for each in PARAMETERS]},
    summary="What is in this photo?",
)
async def predict(request: Request) -> Response:
    """Return the classes that the photo most likely shows, the likeliest first.

    Several photos get a list of results: an answer or an error for each.
    """
    wishes = wishes_of(request)
    async with received(request) as given:
        photos = photos_of(
            given.body, request.headers.get("content-type", ""), given.service.settings
        )
        if photos.several:
            answers = await several(given, photos.data, wishes, request.state.request_id)
            return json_response(answers)
        classified = await classify(given, photos.data[0], wishes)
    answer = classification(classified, wishes)
    return json_response(answer, answer.timings_ms)
