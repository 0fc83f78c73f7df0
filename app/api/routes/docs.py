"""`GET /docs`: Swagger UI."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

router = APIRouter(include_in_schema=False)

_PAGE = Path(__file__).with_suffix(".html").read_text()


@router.get("/docs", response_class=HTMLResponse)
async def docs() -> str:
    """Return the page of Swagger UI. Its links are relative, so it works behind any prefix."""
    return _PAGE
