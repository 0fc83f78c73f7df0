"""TorchServe's inference API: `/predictions/MODEL` and `/ping`."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from app.api.answers import classify
from app.api.dialects.models import check_model
from app.api.forms import parts_of
from app.api.parameters import Wishes, time_allowed_s
from app.api.photos import checked, is_form
from app.api.problems import ErrorForm
from app.api.reception import received
from app.api.routes.direct import DirectRoute
from app.errors import MissingFile, ServiceError
from app.serving.service import Service

NAME = "torchserve"


def _error_fields(error: ServiceError, _: str) -> dict[str, object]:
    return {"code": error.status, "type": error.code, "message": str(error)}


class _Route(DirectRoute):
    dialect = NAME
    error_form = ErrorForm("application/json", _error_fields)


router = APIRouter(route_class=_Route, include_in_schema=False)


@router.get("/ping")
async def ping(request: Request) -> Response:
    """Return whether photos are accepted."""
    ready = request.app.state.service.ready
    status = "Healthy" if ready else "Unhealthy"
    return JSONResponse({"status": status}, 200 if ready else 503)


@router.api_route("/predictions/{model}", methods=["POST", "PUT"])
@router.api_route("/predictions/{model}/{version}", methods=["POST", "PUT"])
async def predictions(request: Request) -> Response:
    """Return the five likeliest labels of a photo with their scores, the likeliest first."""
    service: Service = request.app.state.service
    check_model(request, service.bundle)
    wishes = Wishes(None, 0.0, time_allowed_s(request))
    async with received(request) as given:
        photo = _photo(given.body, request.headers.get("content-type", ""))
        classified = await classify(given, checked(photo, service.settings), wishes)
    # Two classes may have the same label. The likelier one counts.
    likely = {each.label: each.score for each in reversed(classified.predictions)}
    return JSONResponse(dict(reversed(likely.items())))


def _photo(body: bytes, content_type: str) -> bytes:
    """Return the photo, which is the body, or the field `data` of a form."""
    if not is_form(content_type):
        return body
    photos = [part.content for part in parts_of(body, content_type) if part.name == "data"]
    if len(photos) != 1:
        raise MissingFile(f"The form must have one field 'data'; it has {len(photos)}")
    return photos[0]
