"""`POST /models/reload`: serve the bundle that lies in the model directory now."""

from fastapi import APIRouter, Depends

from app import errors
from app.api.dependencies import ServiceDep
from app.api.keys import admin_key
from app.api.problems import documented
from app.api.schemas import Model, Reloaded

router = APIRouter(prefix="/models", tags=["models"])

_ERRORS = (
    errors.Unauthorized,
    errors.NotFound,
    errors.ReloadRunning,
    errors.ReloadRefused,
    errors.Draining,
)


@router.post(
    "/reload",
    dependencies=[Depends(admin_key)],
    responses=documented(_ERRORS),
    summary="Let a new bundle take over",
)
async def reload(service: ServiceDep) -> Reloaded:
    """Start the bundle beside the old one; it takes over only if its golden answers are right.

    No request is lost. Without an admin key in the settings there is nothing at this path.
    """
    before = Model.of(service.bundle)
    await service.reload()
    return Reloaded(before=before, model=Model.of(service.bundle))
