"""The Open Inference Protocol, version 2, over REST: Triton, KServe and others speak it.

It has Triton's extensions for binary data and for classification.
"""

from collections.abc import Sequence

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from app import __version__
from app.api.answers import outcomes
from app.api.dialects.models import check_model
from app.api.dialects.oip_answer import answer
from app.api.dialects.oip_request import INPUT, JSON_LENGTH, OUTPUT, question_of
from app.api.parameters import Wishes, time_allowed_s
from app.api.problems import ErrorForm
from app.api.reception import Received, received
from app.api.routes.direct import DirectRoute
from app.errors import NotFound, NotReady, ServiceError
from app.serving.service import Classified, Service

NAME = "oip"

_MODEL = "/v2/models/{model}"
_VERSION = _MODEL + "/versions/{version}"


class _Route(DirectRoute):
    dialect = NAME
    error_form = ErrorForm("application/json", lambda error, _: {"error": str(error)})


router = APIRouter(route_class=_Route, include_in_schema=False)


@router.get("/v2")
async def server(_: Request) -> Response:
    """Return the name of the server and the extensions that it knows."""
    return JSONResponse(
        {
            "name": "photo-classifier",
            "version": __version__,
            "extensions": ["classification", "binary_tensor_data"],
        }
    )


@router.get("/v2/health/live")
async def live(request: Request) -> Response:
    """Answer 503 only if a restart would help."""
    alive = not _service(request).pool.hopeless
    return JSONResponse({"live": alive}, 200 if alive else 503)


@router.get("/v2/health/ready")
async def ready(request: Request) -> Response:
    """Answer 503 if no photos are accepted."""
    return JSONResponse({"ready": _service(request).ready}, _readiness(request))


@router.get(_MODEL + "/ready")
@router.get(_VERSION + "/ready")
async def model_ready(request: Request) -> Response:
    """Answer 503 if no photos are accepted."""
    service = _service(request)
    check_model(request, service.bundle)
    state = {"name": service.bundle.name, "ready": service.ready}
    return JSONResponse(state, _readiness(request))


@router.get(_MODEL)
@router.get(_VERSION)
async def model(request: Request) -> Response:
    """Return what goes into the model and what comes out."""
    service = _service(request)
    check_model(request, service.bundle)
    shape = [-1, service.pool.classes]
    return JSONResponse(
        {
            "name": service.bundle.name,
            "versions": [service.bundle.version],
            "platform": service.settings.engine,
            "inputs": [{"name": INPUT, "datatype": "BYTES", "shape": [-1]}],
            "outputs": [{"name": OUTPUT, "datatype": "FP32", "shape": shape}],
        }
    )


@router.post(_MODEL + "/infer")
@router.post(_VERSION + "/infer")
async def infer(request: Request) -> Response:
    """Return the scores of all classes, or the likeliest classes, of each photo."""
    check_model(request, _service(request).bundle)
    allowed_s = time_allowed_s(request)
    async with received(request) as given:
        json_length = request.headers.get(JSON_LENGTH)
        question = question_of(given.body, json_length, given.service.settings)
        photos = await _all(given, question.photos, Wishes(1, 0.0, allowed_s))
        return answer(question, photos)


@router.get("/v2/{rest:path}")
async def unknown(_: Request) -> Response:
    """Refuse the rest in this dialect, because its clients read no other error."""
    raise NotFound


async def _all(given: Received, photos: Sequence[bytes], wishes: Wishes) -> Sequence[Classified]:
    """Classify all photos: the protocol has no place for the error of a single one."""
    classified: list[Classified] = []
    for i, outcome in enumerate(await outcomes(given, photos, wishes)):
        if isinstance(outcome, ServiceError):
            where = f"Photo {i + 1} of {len(photos)}: " if len(photos) > 1 else ""
            raise type(outcome)(f"{where}{outcome}", outcome.retry_after_s) from outcome
        classified.append(outcome)
    if len({each.bundle.version for each in classified}) > 1:
        raise NotReady("The model was replaced during the request; please try again")
    return classified


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _readiness(request: Request) -> int:
    return 200 if _service(request).ready else 503
