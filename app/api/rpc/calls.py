"""Answers calls over gRPC: errors in gRPC's form, and for each call an id, a log line, metrics."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, NoReturn

import grpc
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from app.api.access import Access, RefusalLog, count_access, log_access
from app.api.rpc.arrivals import Arrivals
from app.api.rpc.call import Call, Context, Method
from app.errors import ClientClosed, DeadlineExceeded, Draining, ServiceError
from app.serving.service import Service
from app.telemetry.tracing import trace_ids

log = logging.getLogger("app.access")

# Messages without photos have a few bytes. They have places of their own, so that health checks
# are answered while photos arrive.
_PLACES_WITHOUT_PHOTOS = 2
_TIMEOUT_WITHOUT_PHOTOS_S = 1.0

_TRACEPARENT = TraceContextTextMapPropagator()
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.UNAVAILABLE,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    499: grpc.StatusCode.CANCELLED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


class Calls:
    """Answers all calls of one server.

    Attributes:
        running: the tasks of the calls that have no answer yet.
    """

    def __init__(self, service: Service) -> None:
        self.running: set[asyncio.Task[Any]] = set()
        self._service = service
        settings = service.settings
        places = max(1, settings.capacity_bytes // settings.max_body_bytes)
        self._photos = Arrivals(places, settings.upload_timeout_s)
        self._others = Arrivals(_PLACES_WITHOUT_PHOTOS, _TIMEOUT_WITHOUT_PHOTOS_S)
        self._refusals = RefusalLog()
        self._ended = False

    def handler(self, path: str, method: Method) -> "grpc.RpcMethodHandler[Any, Any]":
        """Return gRPC's handler of a method.

        For gRPC the client sends a stream of messages, so that gRPC leaves the message unread until
        the method asks for it.
        """

        async def answered(_: object, context: Context) -> bytes:
            arrivals = self._photos if method.dialect else self._others
            return await self._answer(path, method, Call(self._service, context, arrivals), context)

        return grpc.stream_unary_rpc_method_handler(answered)

    def stream_handler(
        self, answers: Callable[[Call], AsyncIterator[bytes]]
    ) -> "grpc.RpcMethodHandler[Any, Any]":
        """Return the handler of a method that takes no photos, and has several answers."""

        async def answered(_: object, context: Context) -> AsyncIterator[bytes]:
            try:
                async for answer in answers(Call(self._service, context, self._others)):
                    yield answer
            except ServiceError as error:
                await _abort(context, error)

        return grpc.stream_stream_rpc_method_handler(answered)

    def end(self) -> None:
        """End the calls that have no answer yet."""
        self._ended = True
        for task in self.running:
            task.cancel()

    async def _answer(self, path: str, method: Method, call: Call, context: Context) -> bytes:
        task = asyncio.current_task()
        assert task  # noqa: S101  (a coroutine that runs has a task)
        self.running.add(task)
        started = time.perf_counter()
        error: ServiceError | None = ClientClosed()
        ids = {"request_id": call.request_id}
        try:
            answer = await self._try(path, method, call, ids)
            error = None
        except ServiceError as failure:
            # The traceback refers to this frame. Such a circle would keep the photos in memory.
            error = failure.with_traceback(None)
        except asyncio.CancelledError:
            if not self._ended:
                # gRPC cancels the task when the client hangs up and when the deadline is over.
                call.at_door = False
                error = ClientClosed() if call.remaining_s > 0 else DeadlineExceeded()
                raise
            error = Draining(retry_after_s=1)
        except Exception:
            log.exception("unhandled", extra=ids)
            error = ServiceError()
        finally:
            self.running.discard(task)
            self._record(path, method, call, error, time.perf_counter() - started, ids)
        context.set_trailing_metadata(_trailers(call.request_id, error))
        if error:
            await _abort(context, error)
        return answer

    async def _try(self, path: str, method: Method, call: Call, ids: dict[str, str]) -> bytes:
        """Return the answer; add the ids of the trace to `ids`."""
        if not method.dialect:
            return await method.answer(call)
        call.check_key()
        parent = _TRACEPARENT.extract(call.metadata)
        with self._service.tracer.start_as_current_span(
            path, parent, SpanKind.SERVER, record_exception=False, set_status_on_exception=False
        ) as span:
            ids |= trace_ids(call.metadata)
            span.set_attribute("classifier.request_id", call.request_id)
            try:
                answer = await method.answer(call)
            except ServiceError as error:
                span.set_attribute("classifier.outcome", error.code)
                raise
            span.set_attribute("classifier.outcome", "ok")
            return answer

    def _record(
        self,
        path: str,
        method: Method,
        call: Call,
        error: ServiceError | None,
        seconds: float,
        ids: Mapping[str, str],
    ) -> None:
        access = Access(
            method="POST",
            path=path,
            route=path,
            dialect=method.dialect,
            status=error.status if error else 200,
            outcome=error.code if error else "ok",
            seconds=seconds,
            client=call.client,
            key=call.key,
        )
        count_access(access, self._service.metrics)
        if error and call.at_door:
            self._refusals.add(error)
        else:
            log_access(access, ids)


def _trailers(request_id: str, error: ServiceError | None) -> tuple[tuple[str, str], ...]:
    """Return what the client gets behind the answer: in HTTP, these are headers."""
    trailers = [("x-request-id", request_id)]
    if error:
        trailers.append(("classifier-code", error.code))
        if error.retry_after_s is not None:
            trailers.append(("retry-after", str(error.retry_after_s)))
            # gRPC's own clients wait for as long before they try again.
            trailers.append(("grpc-retry-pushback-ms", str(1000 * error.retry_after_s)))
    return tuple(trailers)


async def _abort(context: Context, error: ServiceError) -> NoReturn:
    code = _CODES.get(error.status, grpc.StatusCode.INTERNAL)
    try:
        await context.abort(code, str(error), context.trailing_metadata() or ())
    except grpc.aio.InternalError:
        # The client has just left. gRPC logs a traceback of this, but none of a cancelled call.
        raise asyncio.CancelledError from None
