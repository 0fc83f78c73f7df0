"""The standard health service of gRPC, `grpc.health.v1.Health`, which balancers and probes ask.

The numbers are those of the fields in its `health.proto`.
"""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import suppress

from app.api.rpc.call import Call
from app.errors import MalformedBody, NotFound, Overloaded, UploadTimeout
from app.model.wire import field, parsed, texts
from app.serving.service import Service

SERVICE = "grpc.health.v1.Health"

_SERVING, _NOT_SERVING, _SERVICE_UNKNOWN = 1, 2, 3
_MOST_VALUES = 8
_MAX_WATCHES = 256
_WATCH_INTERVAL_S = 0.5


class Health:
    """Tells whether photos are accepted.

    Attributes:
        closing: set when the port closes, which ends all watches.
    """

    def __init__(self, service: Service, names: Collection[str]) -> None:
        self.closing = asyncio.Event()
        self._service = service
        # The empty name stands for all services.
        self._names = {"", SERVICE, *names}
        self._watches = 0

    async def check(self, call: Call) -> bytes:
        """Return whether a service is serving.

        Raises:
            NotFound: there is no service of this name.
        """
        status = self._status(name := await _name(call))
        if status == _SERVICE_UNKNOWN:
            raise NotFound(f"There is no service {name[:100]!r}")
        return field(1, status)

    async def watch(self, call: Call) -> AsyncIterator[bytes]:
        """Yield the status of a service now and whenever it changes.

        Raises:
            Overloaded: too many others watch.
        """
        if self._watches >= _MAX_WATCHES:
            raise Overloaded
        self._watches += 1
        try:
            name, last = await _name(call), -1
            over = False
            while not over:
                over = self.closing.is_set()
                if (status := self._status(name)) != last:
                    last = status
                    yield field(1, status)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.closing.wait(), _WATCH_INTERVAL_S)
        finally:
            self._watches -= 1

    def _status(self, name: str) -> int:
        if name not in self._names:
            return _SERVICE_UNKNOWN
        return _SERVING if self._service.ready else _NOT_SERVING


async def _name(call: Call) -> str:
    """Return the name of the service that a client asks for.

    It is taken as empty if messages of others keep it from arriving: whoever sends slowly must not
    make the service look ill.
    """
    try:
        return (texts(parsed(await call.message(), _MOST_VALUES), 1) or [""])[-1]
    except (Overloaded, UploadTimeout):
        return ""
    except ValueError:
        raise MalformedBody("The message is not a well-formed HealthCheckRequest") from None
