"""`GET /`: a page for browsers, and the paths of the service for everyone else."""

from fastapi import APIRouter, Request, Response

from app import __version__
from app.api.accept import prefers
from app.api.dependencies import ServiceDep
from app.api.routes.page import PAGE, page_file
from app.model.bundle import Bundle

router = APIRouter(tags=["index"])


@router.get(
    "/",
    summary="Paths of the service; a page for browsers",
    response_model=dict[str, str],
    responses={
        200: {
            "content": {
                "text/html": {
                    "schema": {"type": "string"},
                    "examples": {"the page": {"value": PAGE}},
                }
            }
        },
        304: {"description": "The client has this page: its `If-None-Match` names it"},
    },
)
async def index(
    request: Request, response: Response, service: ServiceDep
) -> dict[str, str] | Response:
    """Return the names and versions of the service and its model, and the paths of the service.

    A client that prefers `text/html`, as browsers do, gets a page on which people send photos.
    """
    if prefers(request.headers.get("Accept", ""), "text/html", "application/json"):
        page = await page_file("index.html", request)
        page.headers["Vary"] = "Accept"
        return page
    response.headers["Vary"] = "Accept"
    return index_of(service.bundle)


def index_of(bundle: Bundle) -> dict[str, str]:
    """Return what the service says of itself with this bundle."""
    return {
        "service": f"photo-classifier {__version__}",
        "model": f"{bundle.name} {bundle.version}",
        "predict": "POST /predict, the photo as the body or in the form field 'file'",
        "explain": "POST /explain, the same, for where the network looked",
        "embed": "POST /embed, the same, for the vector before the classifier",
        "docs": "/docs",
        "openapi": "/openapi.json",
        "health": "/health",
        "metrics": "/metrics",
    }
