"""`POST /models/reload`: serve the bundle that lies in the model directory now."""

import secrets
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app import errors
from app.problems import documented
from app.schemas import Reloaded
from app.service import ServiceDep

router = APIRouter(prefix="/models", tags=["models"])

Credentials = Annotated[
    HTTPAuthorizationCredentials | None,
    Depends(HTTPBearer(auto_error=False, description="CLASSIFIER_ADMIN_KEY")),
]

_ERRORS = (errors.Unauthorized, errors.NotFound, errors.ReloadRunning, errors.ReloadRefused)


@router.post("/reload", responses=documented(_ERRORS), summary="Let a new bundle take over")
async def reload(service: ServiceDep, credentials: Credentials) -> Reloaded:
    """Start the bundle beside the old one; it takes over only if its golden answers are right.

    No request is lost. Without an admin key in the settings there is nothing at this path.
    """
    key = service.settings.admin_key
    if key is None:
        raise errors.NotFound
    given = credentials.credentials if credentials else ""
    if not secrets.compare_digest(given.encode(), key.get_secret_value().encode()):
        raise errors.Unauthorized
    before = service.model
    await service.reload()
    return Reloaded(before=before, model=service.model)
