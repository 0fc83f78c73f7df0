"""`POST /models/reload`: switch to the bundle that is in the model directory now."""

from fastapi import APIRouter, Depends

from app import errors
from app.api.dependencies import ServiceDep
from app.api.keys import admin_key
from app.api.problems import documented
from app.api.schemas import Model, Reloaded

router = APIRouter(prefix="/models", tags=["models"])

_ERRORS = (
    errors.Unauthorized,
    errors.OriginNotAllowed,
    errors.NotFound,
    errors.ReloadRunning,
    errors.ReloadRefused,
    errors.Draining,
)


@router.post(
    "/reload",
    dependencies=[Depends(admin_key)],
    responses=documented(_ERRORS),
    summary="Switch to the bundle in the model directory",
)
async def reload(service: ServiceDep) -> Reloaded:
    """Start the new bundle beside the old one, and switch if its golden answers are right.

    No request is lost. Without CLASSIFIER_ADMIN_KEY this path answers 404.
    """
    before = Model.of(service.bundle)
    await service.reload()
    return Reloaded(before=before, model=Model.of(service.bundle))
