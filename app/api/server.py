"""uvicorn's server, with an end that loses nobody."""

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

import uvicorn
from fastapi import FastAPI

from app.api.connection import Connection
from app.errors import ServiceError
from app.serving.service import Service
from app.settings import Settings

log = logging.getLogger(__name__)

# Time for who is half inside to come in whole: through the handshake, then with the request.
_LAST_ARRIVALS_S = 0.2
_LAST_REQUESTS_S = 0.2
# A packet filter: is SYN set in the TCP header's flags? Then drop the packet, else let it in.
_NO_NEWCOMERS = ((0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))
_SO_ATTACH_FILTER = 26  # of Linux


class DrainingServer(uvicorn.Server):
    """On SIGTERM first not ready, but serving; then the port closes and open requests finish.

    Ctrl-C and a second SIGTERM leave out the first part. The exit code is 0 in each case.
    """

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        config = uvicorn.Config(
            app,
            settings.host,
            settings.port,
            http=partial(Connection, settings),  # type: ignore[arg-type]  # as good as a class
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            # An int for the command line's sake; only asyncio.wait_for gets it.
            timeout_graceful_shutdown=settings.drain_timeout_s,  # type: ignore[arg-type]
        )
        super().__init__(config)
        self._app = app
        self._drain_delay_s = settings.drain_delay_s
        self._started = asyncio.Event()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Take a signal, in the main thread but outside the event loop."""
        loop = asyncio.get_running_loop()
        loop.call_soon_threadsafe(self._drain, sig == signal.SIGTERM)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the port."""
        await super().startup(sockets)
        self._started.set()

    def reload(self) -> None:
        """On SIGHUP let a new bundle take over; during the start, once that is over."""
        self._reloading = asyncio.create_task(_reload(self._app, self._started))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the port, and only then the connections: a request on its way is answered."""
        loop = asyncio.get_running_loop()
        for server in self.servers:
            _turn_newcomers_away(server.sockets)
        await asyncio.sleep(_LAST_ARRIVALS_S)
        for server in self.servers:
            late = _accepted_last(server.sockets)
            server.close()
            for connection in late:
                with suppress(OSError):  # gone again already
                    await loop.connect_accepted_socket(self._protocol, connection)
        await asyncio.sleep(_LAST_REQUESTS_S)
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]  # as uvicorn itself does
            config=self.config, server_state=self.server_state, app_state={}
        )

    def _drain(self, gently: bool) -> None:
        service: Service = self._app.state.service
        if gently and not service.draining:
            asyncio.get_running_loop().call_later(self._drain_delay_s, self._exit)
        else:
            self.force_exit = self.should_exit
            self._exit()
        service.draining = True

    def _exit(self) -> None:
        self.should_exit = True


async def _reload(app: FastAPI, started: asyncio.Event) -> None:
    """Reload where nobody waits for it: whatever goes wrong is told in the log."""
    await started.wait()
    service: Service = app.state.service
    try:
        await service.reload()
    except ServiceError as error:
        log.warning("%s", error.title)
    except Exception:
        log.exception("the reload failed")


def _turn_newcomers_away(ports: Iterable[socket.socket]) -> None:
    """Let nobody begin a connection any more; a client who tries finds the port closed soon.

    Without it whoever arrives between the last accept and the close would be reset.
    """
    program = b"".join(struct.pack("HBBI", *step) for step in _NO_NEWCOMERS)
    steps = ctypes.create_string_buffer(program)
    pointer = struct.pack("HP", len(_NO_NEWCOMERS), ctypes.addressof(steps))
    if sys.platform == "linux":
        for port in ports:
            with socket.socket(fileno=os.dup(port.fileno())) as twin, suppress(OSError):
                twin.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointer)


def _accepted_last(ports: Iterable[socket.socket]) -> list[socket.socket]:
    """Take who still waits at the ports: closing alone would reset them."""
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
