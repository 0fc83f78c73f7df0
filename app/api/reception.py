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
        yield Received(service, body, _gone(request), turn)


def _gone(request: Request) -> asyncio.Future[None]:
    """Return the future that a connection has made; without a connection, nobody leaves."""
    gone: asyncio.Future[None] | None = getattr(request.state, "gone", None)
    return gone or asyncio.get_running_loop().create_future()
