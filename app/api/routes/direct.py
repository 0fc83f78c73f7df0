"""Routes whose requests go to the endpoint as they are: all routes that take photos do."""

from collections.abc import Callable, Coroutine
from typing import Any, ClassVar

from fastapi import Request, Response
from fastapi.routing import APIRoute

from app.api.keys import check_api_key
from app.api.problems import PROBLEM, ErrorForm
from app.serving.service import Service

OWN = "own"

_BRING_PHOTOS = {"POST", "PUT"}


class DirectRoute(APIRoute):
    """A route whose endpoint takes the request alone and returns the response.

    FastAPI would read the parameters and check the dependencies for each request, which took a
    quarter of the time of a photo's HTTP side. Here, dependencies are for the documentation only.

    A POST or PUT brings photos: it needs a key, and it waits at the door.

    Attributes:
        dialect: the protocol that the route speaks.
        error_form: the form of its errors.
    """

    dialect: ClassVar[str] = OWN
    error_form: ClassVar[ErrorForm] = PROBLEM

    @property
    def takes_photos(self) -> bool:
        """Whether requests to this route bring photos."""
        return not _BRING_PHOTOS.isdisjoint(self.methods or ())

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what FastAPI calls for a request."""
        return self.respond

    async def respond(self, request: Request) -> Response:
        """Return the endpoint's response. The key is checked first if the route takes photos."""
        if self.takes_photos:
            service: Service = request.app.state.service
            await check_api_key(request, service.settings)
        response: Response = await self.endpoint(request)
        return response


def dialect_of(route: object) -> str:
    """Return the dialect of a route that takes photos, and nothing for all others."""
    return route.dialect if isinstance(route, DirectRoute) and route.takes_photos else ""
