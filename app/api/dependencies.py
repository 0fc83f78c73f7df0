"""The dependencies that FastAPI gives to the routes."""

from typing import Annotated

from fastapi import Depends, Request

from app.serving.service import Service


async def get_service(request: Request) -> Service:
    """Return the service that answers this request."""
    service: Service = request.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(get_service)]
