"""uvicorn's server, with a shutdown that answers every request."""

import asyncio
import ctypes
import logging
import os
import signal
import socket
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Protocol

import uvicorn
from fastapi import FastAPI

from app.api.connection import Connection
from app.api.entrance import Entrance
from app.api.ports import local_url, refusal
from app.errors import ServiceError, StartupError
from app.serving.service import Service
from app.settings import Settings

log = logging.getLogger(__name__)

# Grace for clients that are connecting when the port closes: first to finish the TCP handshake,
# then to send their request.
_LAST_ARRIVALS_S = 0.2
_LAST_REQUESTS_S = 0.2
# A packet filter of four steps: load the flags of the TCP header, test SYN, drop the packet if SYN
# is set, otherwise accept it.
_DROP_SYN = ((0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))
# This number is defined in Linux's asm-generic/socket.h.
_SO_ATTACH_FILTER = 26


class SecondPort(Protocol):
    """A server on a port of its own, which opens and closes with that of HTTP."""

    async def start(self, service: Service) -> None:
        """Open the port."""

    async def stop(self) -> None:
        """Close the port, and answer what is open."""

    def end(self) -> None:
        """Wait no longer for what is open."""


class DrainingServer(uvicorn.Server):
    """Serves until SIGTERM or Ctrl-C, and then drains.

    After SIGTERM, the service first reports that it is not ready, but still answers. Then the port
    closes, and open requests finish. Ctrl-C and a second SIGTERM leave out the first step. The
    exit code is always 0.
    """

    def __init__(
        self, app: FastAPI, settings: Settings, second_port: SecondPort | None = None
    ) -> None:
        config = uvicorn.Config(
            app,
            settings.host,
            settings.port,
            http=partial(Connection, Entrance(app, settings), settings),  # type: ignore[arg-type]  # uvicorn only calls it
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            # A request's task must not inherit the span of the request before it.
            reset_contextvars=True,
            # uvicorn declares an int, but passes it to asyncio.wait_for, which accepts a float.
            timeout_graceful_shutdown=settings.drain_timeout_s,  # type: ignore[arg-type]
        )
        super().__init__(config)
        self._app = app
        self._second_port = second_port
        self._drain_delay_s = settings.drain_delay_s
        self._drain_timeout_s = settings.drain_timeout_s
        self._started = asyncio.Event()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Handle SIGTERM or SIGINT. Python calls this in the main thread, outside the loop."""
        loop = asyncio.get_running_loop()
        loop.call_soon_threadsafe(self._drain, sig == signal.SIGTERM)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen on `sockets`, and log the URL as the last line of the start.

        Raises:
            StartupError: another process has opened the port since it was bound.
        """
        try:
            # uvloop would hide an error of `listen`.
            for listener in sockets or ():
                listener.listen(self.config.backlog)
        except OSError as error:
            raise StartupError(refusal(self.config.host, self.config.port, error)) from error
        if self._second_port:
            await self._second_port.start(self._app.state.service)
        await super().startup(sockets)
        self._started.set()
        log.info("Open %s", local_url(self.config.host, self.servers[0].sockets[0]))

    def reload(self) -> None:
        """Reload the bundle on SIGHUP. A reload during the start waits until the port is open."""
        self._reloading = asyncio.create_task(_reload(self._app, self._started))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close all ports, and answer what is open."""
        async with asyncio.TaskGroup() as closing:
            if self._second_port:
                closing.create_task(self._second_port.stop())
            closing.create_task(self._close(sockets))

    async def _close(self, sockets: list[socket.socket] | None) -> None:
        """Close the port first and the connections later, so that late requests are answered."""
        loop = asyncio.get_running_loop()
        for server in self.servers:
            _drop_new_connections(server.sockets)
        await asyncio.sleep(_LAST_ARRIVALS_S)
        for server in self.servers:
            late = _accepted_last(server.sockets)
            server.close()
            for connection in late:
                # The client may have closed the connection already.
                with suppress(OSError):
                    await loop.connect_accepted_socket(self._protocol, connection)
        await asyncio.sleep(_LAST_REQUESTS_S)
        # uvicorn ends the requests that the application answers, but it knows of no others.
        timer = loop.call_later(self._drain_timeout_s, self._end_waits)
        try:
            await super().shutdown(sockets)
        finally:
            timer.cancel()

    def _end_waits(self) -> None:
        """Answer those who still wait at the door."""
        for connection in [*self.server_state.connections]:
            if isinstance(connection, Connection):
                connection.end_wait()

    def _protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]  # uvicorn does the same
            config=self.config, server_state=self.server_state, app_state={}
        )

    def _drain(self, gently: bool) -> None:
        service: Service = self._app.state.service
        if gently and not service.draining:
            asyncio.get_running_loop().call_later(self._drain_delay_s, self._exit)
        else:
            self.force_exit = self.should_exit
            if self.force_exit and self._second_port:
                self._second_port.end()
            self._exit()
        service.draining = True

    def _exit(self) -> None:
        self.should_exit = True


async def _reload(app: FastAPI, started: asyncio.Event) -> None:
    """Reload the bundle after SIGHUP, and log every error, because no client gets it."""
    await started.wait()
    service: Service = app.state.service
    try:
        await service.reload()
    except ServiceError as error:
        log.warning("%s", error.title)
    except Exception:
        log.exception("the reload failed")


def _drop_new_connections(ports: Iterable[socket.socket]) -> None:
    """Make the kernel drop the first packet of every new connection, on Linux.

    The client repeats the packet and finds the port closed. Without the filter, the kernel would
    reset a connection that it completes between the last accept and the close.
    """
    program = b"".join(struct.pack("HBBI", *step) for step in _DROP_SYN)
    steps = ctypes.create_string_buffer(program)
    pointer = struct.pack("HP", len(_DROP_SYN), ctypes.addressof(steps))
    if sys.platform == "linux":
        for port in ports:
            with socket.socket(fileno=os.dup(port.fileno())) as twin, suppress(OSError):
                twin.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointer)


def _accepted_last(ports: Iterable[socket.socket]) -> list[socket.socket]:
    """Accept the connections that wait in the ports' queues, because a close would reset them."""
    accepted: list[socket.socket] = []
    for port in ports:
        with socket.socket(fileno=os.dup(port.fileno())) as twin, suppress(OSError):
            twin.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    accepted.append(twin.accept()[0])
            twin.shutdown(socket.SHUT_RDWR)
    for connection in accepted:
        connection.setblocking(False)
    return accepted
