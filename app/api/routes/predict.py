"""`POST /predict`: takes a photo and returns its classes."""

import asyncio

from fastapi import APIRouter, Depends, Request, Response

from app import errors
from app.api.body import check_announced, read_body
from app.api.forms import MEDIA_TYPE as FORM
from app.api.forms import photo_of
from app.api.keys import API_KEY, check_api_key
from app.api.parameters import DEADLINE_MS, TOP_K, time_allowed_s
from app.api.problems import documented
from app.api.routes.direct import DirectRoute
from app.api.schemas import Classification, Model, Timings
from app.errors import MissingFile
from app.images.decoding import UploadedImage
from app.serving.admission import Turn
from app.serving.service import Classified, Service

router = APIRouter(tags=["predict"], route_class=DirectRoute)

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

# The form is described by hand, because the route reads the body only after its checks. If the form
# were a parameter of the route, FastAPI would read the body before them.
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
                            "description": "JPEG, PNG, WebP, BMP, GIF or TIFF, with a file name",
                        }
                    },
                }
            }
        },
    }
}


@router.post(
    "/predict",
    dependencies=[Depends(API_KEY)],
    response_model=Classification,
    responses=documented(_ERRORS),
    openapi_extra=_BODY | {"parameters": [TOP_K.documentation, DEADLINE_MS.documentation]},
    summary="What is in this photo?",
)
async def predict(request: Request) -> Response:
    """Return the classes that the photo most likely shows, the likeliest first."""
    service: Service = request.app.state.service
    settings = service.settings
    await check_api_key(request, settings)
    top_k, allowed_s = TOP_K.read(request), time_allowed_s(request)
    check_announced(request, settings)
    content_type = request.headers.get("content-type", "")
    if not content_type.lower().startswith(FORM):
        raise MissingFile(f"The request has no {FORM} body; send the photo in its field 'file'")
    turn: Turn | None = getattr(request.state, "turn", None)
    if turn:
        allowed_s -= turn.waited_s
    with service.admission.hold(turn) as upload:
        body = await read_body(request, settings, upload)
        photo = photo_of(body, content_type, settings.max_upload_bytes)
        gone = asyncio.create_task(_hung_up(request))
        try:
            classified = await service.classify(photo, top_k, allowed_s, gone, turn)
        finally:
            gone.cancel()
    return _response(classified)


def _response(classified: Classified) -> Response:
    photo = classified.photo
    answer = Classification(
        model=Model.of(classified.bundle),
        predictions=[*classified.predictions],
        image=UploadedImage(width=photo.width, height=photo.height, format=photo.format),
        timings_ms=Timings(
            **{stage: round(s * 1000, 2) for stage, s in classified.seconds.items()}
        ),
    )
    headers = {"Server-Timing": _server_timing(answer.timings_ms)}
    return Response(answer.model_dump_json(), headers=headers, media_type="application/json")


async def _hung_up(request: Request) -> None:
    """Return when the client has closed the connection. The body must have been read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _server_timing(timings: Timings) -> str:
    return ", ".join(f"{stage};dur={duration}" for stage, duration in timings)
