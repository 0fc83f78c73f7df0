"""`GET /`: the paths of the service."""

from fastapi import APIRouter

from app import __version__
from app.api.dependencies import ServiceDep

router = APIRouter(tags=["index"])


@router.get("/", summary="Paths of the service")
async def index(service: ServiceDep) -> dict[str, str]:
    """Return the names and versions of the service and its model, and the paths of the service."""
    return {
        "service": f"photo-classifier {__version__}",
        "model": f"{service.bundle.name} {service.bundle.version}",
        "predict": "POST /predict, the photo as the body or in the form field 'file'",
        "docs": "/docs",
        "openapi": "/openapi.json",
        "health": "/health",
        "metrics": "/metrics",
    }
