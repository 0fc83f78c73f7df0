"""`POST /predict`: takes a photo and returns its classes."""

import asyncio
import math
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from app import errors
from app.api.dependencies import ServiceDep
from app.api.keys import api_key
from app.api.problems import documented
from app.api.schemas import Classification, Model, Timings
from app.api.upload import check_announced, read_photo
from app.images.decoding import UploadedImage
from app.serving.admission import Turn
from app.serving.service import Classified

router = APIRouter(tags=["predict"])

_ERRORS = (
    errors.MalformedBody,
    errors.Unauthorized,
    errors.UploadTimeout,
    errors.FileTooLarge,
    errors.TooManyPixels,
    errors.UnsupportedImage,
    errors.InvalidRequest,
    errors.MissingFile,
    errors.EmptyFile,
    errors.BrokenImage,
    errors.Overloaded,
    errors.ServiceError,
    errors.InferenceFailed,
    errors.NotReady,
    errors.Draining,
    errors.WorkerLost,
    errors.DeadlineUnreachable,
    errors.DeadlineExceeded,
)

# The form is described by hand, because `app.api.upload` reads the body after the admission check.
# If the form were a parameter of the route, FastAPI would read the body before that check.
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": (
                                "JPEG, PNG, WebP, BMP, GIF, TIFF, AVIF, HEIC or HEIF, "
                                "with a file name"
                            ),
                        }
                    },
                }
            }
        },
    }
}


@router.post(
    "/predict",
    dependencies=[Depends(api_key)],
    responses=documented(_ERRORS),
    openapi_extra=_BODY,
    summary="What is in this photo?",
)
async def predict(
    request: Request,
    response: Response,
    service: ServiceDep,
    top_k: Annotated[
        Annotated[int, Field(ge=1)] | SkipJsonSchema[None],
        Query(description="Number of classes to return, by default 5; at most all of the model"),
    ] = None,
    x_deadline_ms: Annotated[
        Annotated[int, Field(ge=1, le=3_600_000)] | SkipJsonSchema[None],
        Header(
            description="Milliseconds that the client waits; the server's own deadline applies too"
        ),
    ] = None,
) -> Classification:
    """Return the classes that the photo most likely shows, the likeliest first."""
    # Without the header, only the server's own deadline applies, which starts after the upload.
    time_allowed_s = math.inf if x_deadline_ms is None else x_deadline_ms / 1000
    check_announced(request, service.settings)
    turn: Turn | None = getattr(request.state, "turn", None)
    if turn:
        time_allowed_s -= turn.waited_s
    with service.admission.hold(turn) as upload:
        data = await read_photo(request, service.settings, upload)
        gone = asyncio.create_task(_hung_up(request))
        try:
            classified = await service.classify(data, top_k, time_allowed_s, gone, turn)
        finally:
            gone.cancel()
    answer = _answer(classified)
    response.headers["Server-Timing"] = _server_timing(answer.timings_ms)
    return answer


def _answer(classified: Classified) -> Classification:
    photo = classified.photo
    return Classification(
        model=Model.of(classified.bundle),
        predictions=[*classified.predictions],
        image=UploadedImage(width=photo.width, height=photo.height, format=photo.format),
        timings_ms=Timings(
            **{stage: round(s * 1000, 2) for stage, s in classified.seconds.items()}
        ),
    )


async def _hung_up(request: Request) -> None:
    """Return when the client has closed the connection. The body must have been read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _server_timing(timings: Timings) -> str:
    return ", ".join(f"{stage};dur={duration}" for stage, duration in timings)
