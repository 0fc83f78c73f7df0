"""Receives a request that brings photos: its body within all limits, and its wish for an answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import Request

from app.api.body import check_announced, read_body
from app.serving.admission import Turn
from app.serving.service import Service


@dataclass(frozen=True)
class Received:
    """A request whose body has arrived.

    Attributes:
        service: the service that answers.
        body: the whole body.
        gone: a future that is done when the client has closed the connection.
        turn: the turn of the request, if it has one.
    """

    service: Service
    body: bytes
    gone: asyncio.Future[None]
    turn: Turn | None


@asynccontextmanager
async def received(request: Request) -> AsyncIterator[Received]:
    """Read the body of a request, and hold its bytes and its turn until the block ends.

    Raises:
        ServiceError: the body is too large, too slow or compressed, or nobody could answer.
    """
    service: Service = request.app.state.service
    check_announced(request, service.settings)
    turn: Turn | None = getattr(request.state, "turn", None)
    with service.admission.hold(turn) as upload:
        body = await read_body(request, service.settings, upload)
        gone = asyncio.create_task(_hung_up(request))
        try:
            yield Received(service, body, gone, turn)
        finally:
            gone.cancel()


async def _hung_up(request: Request) -> None:
    """Return when the client has closed the connection. The body must have been read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
