"""`GET /`: where everything is."""

from fastapi import APIRouter

from app import __version__
from app.api.dependencies import ServiceDep

router = APIRouter(tags=["index"])


@router.get("/", summary="Where everything is")
async def index(service: ServiceDep) -> dict[str, str]:
    """Return the model served and the paths to go on from."""
    return {
        "service": f"photo-classifier {__version__}",
        "model": f"{service.bundle.name} {service.bundle.version}",
        "predict": "POST /predict, multipart field 'file'",
        "docs": "/docs",
        "openapi": "/openapi.json",
        "health": "/health",
        "metrics": "/metrics",
    }
