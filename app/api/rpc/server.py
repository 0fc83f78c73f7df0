"""gRPC's server: it listens beside uvicorn, on the same event loop, and drains with it."""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Mapping, Sequence

import grpc
from grpc import aio

from app.api.ports import GRPC_PORT, refusal
from app.api.rpc import health
from app.api.rpc.call import Method
from app.api.rpc.calls import Calls
from app.errors import StartupError
from app.serving.service import Service
from app.settings import Settings

log = logging.getLogger(__name__)

# How much of a message gRPC takes before somebody asks for it.
_UNREAD_BYTES = 64 * 1024
# Above that gRPC refuses calls without a status. It is higher than what the door lets wait.
_MAX_CALLS_OF_A_CONNECTION = 1024
_MAX_IDLE_MS = 300_000
# A connection stays with one pod. Clients that connect again find new pods.
_MAX_AGE_MS = 600_000
_HANDSHAKE_MS = 10_000
# The server ends unanswered calls itself, with a status. gRPC cuts off what is left after that.
_LAST_ANSWERS_S = 1.0


class GrpcServer:
    """Serves gRPC from `start` to `stop`."""

    def __init__(
        self,
        settings: Settings,
        sockets: Sequence[socket.socket],
        services: Mapping[str, Mapping[str, Method]],
    ) -> None:
        """Make a server.

        Args:
            settings: the settings with the limits.
            sockets: sockets that are bound to the addresses on which the server will listen.
            services: {service: {method's name: method}}.
        """
        self._settings = settings
        self._sockets = sockets
        self._services = services

    async def start(self, service: Service) -> None:
        """Open the port.

        Raises:
            StartupError: another process has opened the port since it was bound.
        """
        self._calls = Calls(service)
        self._health = health.Health(service, self._services)
        methods = {**self._services, health.SERVICE: {"Check": Method(self._health.check)}}
        handlers = {
            f"/{name}/{method}": self._calls.handler(f"/{name}/{method}", each)
            for name, of_service in methods.items()
            for method, each in of_service.items()
        }
        watch = self._calls.stream_handler(self._health.watch)
        self._server = aio.server(
            options=_options(self._settings),
            handlers=[_Paths({**handlers, f"/{health.SERVICE}/Watch": watch})],
        )
        for address in _addresses(self._sockets):
            self._listen(address)
        await self._server.start()

    async def stop(self) -> None:
        """Close the port, answer the open calls, and end those that take too long."""
        self._health.closing.set()
        drain_s = self._settings.drain_timeout_s
        stopping = asyncio.create_task(self._server.stop(drain_s + _LAST_ANSWERS_S))
        if self._calls.running:
            await asyncio.wait(self._calls.running, timeout=drain_s)
        self.end()
        await stopping

    def end(self) -> None:
        """End the calls that have no answer yet."""
        self._calls.end()

    def _listen(self, address: str) -> None:
        try:
            self._server.add_insecure_port(address)
        # gRPC's error has no number.
        except RuntimeError:
            taken = OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
            port = int(address.rpartition(":")[2])
            raise StartupError(refusal(self._settings.host, port, taken, GRPC_PORT)) from None
        log.info("gRPC listens on %s", address)


class _Paths(grpc.GenericRpcHandler):
    """Finds the handler of a call by its path."""

    def __init__(self, handlers: "Mapping[str, grpc.RpcMethodHandler[bytes, bytes]]") -> None:
        self._handlers = handlers

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        return self._handlers.get(handler_call_details.method)


def _addresses(sockets: Sequence[socket.socket]) -> Sequence[str]:
    """Return the addresses of sockets as gRPC names them."""
    addresses = [listener.getsockname()[:2] for listener in sockets]
    for host, port in addresses:
        # With the address that stands for all, gRPC listens on all those of IPv4 and of IPv6.
        if host in {"0.0.0.0", "::"}:  # noqa: S104  (it is only compared)
            return [f"{host}:{port}" if host != "::" else f"[::]:{port}"]
    return [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in addresses]


def _options(settings: Settings) -> Sequence[tuple[str, int]]:
    return (
        ("grpc.max_receive_message_length", settings.max_body_bytes),
        ("grpc.max_concurrent_streams", _MAX_CALLS_OF_A_CONNECTION),
        ("grpc.max_connection_idle_ms", _MAX_IDLE_MS),
        ("grpc.max_connection_age_ms", _MAX_AGE_MS),
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
        ("grpc.http2.lookahead_bytes", _UNREAD_BYTES),
        # Otherwise gRPC would take more of each message after fast ones.
        ("grpc.http2.bdp_probe", 0),
        # Of all compressions only identity is allowed: a few bytes could become a large message.
        ("grpc.compression_enabled_algorithms_bitset", 1),
        # A taken port is an error.
        ("grpc.so_reuseport", 0),
    )
