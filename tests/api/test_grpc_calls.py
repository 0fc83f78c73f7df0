"""What happens to a call whose method fails, or whose server ends."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import grpc
import pytest
from fakes import FakePool
from fastapi import FastAPI

from app.api.rpc.call import Call, Method
from app.api.rpc.calls import Calls
from app.errors import InferenceFailed, NotReady
from app.serving.service import Service

pytest_plugins = ["app_fixtures"]
pytestmark = pytest.mark.anyio

Metadata = Sequence[tuple[str, str]]


class Aborted(Exception):
    """gRPC's abort raises, so that no method goes on."""


class FakeContext:
    """What gRPC tells of a call, and what it is told. Its client may have left."""

    def __init__(self, *, left: bool = False) -> None:
        self._left = left
        self.trailers: Metadata = ()
        self.status: tuple[grpc.StatusCode, str] | None = None

    def invocation_metadata(self) -> Metadata:
        return (("x-request-id", "mine"),)

    def time_remaining(self) -> float | None:
        return None

    def peer(self) -> str:
        return "ipv6:%5B::1%5D:50000"

    def set_trailing_metadata(self, trailers: Metadata) -> None:
        self.trailers = trailers

    def trailing_metadata(self) -> Metadata:
        return self.trailers

    async def abort(self, code: grpc.StatusCode, details: str, _: Metadata) -> None:
        if self._left:
            raise grpc.aio.InternalError
        self.status = code, details
        raise Aborted


@pytest.fixture
async def calls(app: FastAPI, pool: FakePool) -> AsyncIterator[Calls]:
    assert pool.up
    async with app.router.lifespan_context(app):
        service: Service = app.state.service
        yield Calls(service)


def failing(error: Exception) -> Callable[[Call], Awaitable[bytes]]:
    async def fail(_: Call) -> bytes:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "code", "own", "words"),
    [
        (RuntimeError("a secret"), grpc.StatusCode.INTERNAL, "internal_error", "The server failed"),
        (InferenceFailed(), grpc.StatusCode.INTERNAL, "inference_failed", ""),
        (NotReady(retry_after_s=2), grpc.StatusCode.UNAVAILABLE, "not_ready", ""),
    ],
)
async def test_a_failure_has_a_status_and_tells_no_secret(
    calls: Calls, error: Exception, code: grpc.StatusCode, own: str, words: str
) -> None:
    context: Any = FakeContext()
    handler: Any = calls.handler("/a/B", Method(failing(error), "oip-grpc"))
    with pytest.raises(Aborted):
        await handler.stream_unary(None, context)
    status, details = context.status
    assert status is code
    assert words in details
    assert "secret" not in details
    trailers = dict(context.trailers)
    assert (trailers["classifier-code"], trailers["x-request-id"]) == (own, "mine")
    assert not calls.running


async def test_an_error_for_a_client_who_has_left_ends_as_a_cancelled_call(calls: Calls) -> None:
    context: Any = FakeContext(left=True)
    handler: Any = calls.handler("/a/B", Method(failing(InferenceFailed()), "oip-grpc"))
    with pytest.raises(asyncio.CancelledError):
        await handler.stream_unary(None, context)
    assert not calls.running


async def test_the_end_of_the_server_ends_calls_with_a_status(calls: Calls) -> None:
    async def wait(_: Call) -> bytes:
        return bytes(await asyncio.Event().wait())

    context: Any = FakeContext()
    handler: Any = calls.handler("/a/B", Method(wait))
    task = asyncio.create_task(handler.stream_unary(None, context))
    await asyncio.sleep(0)
    assert len(calls.running) == 1
    calls.end()
    with pytest.raises(Aborted):
        await task
    assert context.status[0] is grpc.StatusCode.UNAVAILABLE
    assert dict(context.trailers)["classifier-code"] == "draining"
    assert not calls.running


async def test_the_address_of_a_client_has_no_port(calls: Calls) -> None:
    context: Any = FakeContext()
    assert Call(calls._service, context, calls._photos).client == "::1"
