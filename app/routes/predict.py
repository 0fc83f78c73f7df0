"""`POST /predict`: a photo in, its classes out."""

import asyncio
import math
from typing import Annotated

from fastapi import APIRouter, File, Header, Query, Request, Response, UploadFile

from app import errors
from app.problems import documented
from app.schemas import Classification, Timings
from app.service import ServiceDep

router = APIRouter(tags=["predict"])

_ERRORS = (
    errors.MalformedBody,
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
    errors.WorkerLost,
    errors.DeadlineUnreachable,
    errors.DeadlineExceeded,
)


@router.post("/predict", responses=documented(_ERRORS), summary="What is in this photo?")
async def predict(
    request: Request,
    response: Response,
    service: ServiceDep,
    file: Annotated[UploadFile, File(description="JPEG, PNG, WebP, BMP, GIF or TIFF")],
    top_k: Annotated[int, Query(ge=1, description="Classes to name; at most all there are")] = 5,
    x_deadline_ms: Annotated[
        int | None,
        Header(ge=1, description="Milliseconds you wait; the server's own limit holds too"),
    ] = None,
) -> Classification:
    """Name the classes that the photo most likely shows, the likeliest first."""
    if (file.size or 0) > service.settings.max_upload_bytes:
        raise errors.FileTooLarge
    data = await file.read()
    given = top_k if "top_k" in request.query_params else None  # a model may have fewer than 5
    time_allowed_s = math.inf if x_deadline_ms is None else x_deadline_ms / 1000
    gone = asyncio.create_task(_hung_up(request))
    try:
        answer = await service.classify(data, given, time_allowed_s, gone)
    finally:
        gone.cancel()
    response.headers["Server-Timing"] = _server_timing(answer.timings_ms)
    return answer


async def _hung_up(request: Request) -> None:
    """Return when the client has closed the connection. The body has been read by then."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _server_timing(timings: Timings) -> str:
    return ", ".join(f"{stage};dur={duration}" for stage, duration in timings)
