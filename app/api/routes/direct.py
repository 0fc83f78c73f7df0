"""Routes that FastAPI documents, and whose requests it hands on as they are."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute


class DirectRoute(APIRoute):
    """A route whose endpoint takes the request alone and returns the response.

    FastAPI would read the parameters and check the dependencies for each request, which takes a
    third of the server's own time for a photo. Here, dependencies are for the documentation only.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the endpoint."""
        endpoint: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return endpoint
