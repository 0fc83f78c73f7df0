"""One call over gRPC, as its method sees it."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import unquote

from grpc import aio

from app.api.access import request_id_of
from app.api.keys import name_of
from app.api.parameters import DEADLINE_MS
from app.api.reception import Received
from app.api.rpc.arrivals import Arrivals
from app.errors import Unauthorized
from app.serving.admission import Upload
from app.serving.service import Service

Context = aio.ServicerContext[Any, Any]
Read = TypeVar("Read")


class Call:
    """A call whose message is still unread.

    Attributes:
        service: the service that answers.
        at_door: whether the call waits for its turn, or has been refused while it waited.
        key: the name of the client's API key in the metrics; empty if it has none.
    """

    def __init__(self, service: Service, context: Context, arrivals: Arrivals) -> None:
        self.service = service
        self.at_door = False
        self.key = ""
        self._context = context
        self._arrivals = arrivals

    @cached_property
    def metadata(self) -> Mapping[str, str]:
        """The texts that the client has sent beside its message. Their names are in small letters.

        A name that comes several times counts once.
        """
        given = self._context.invocation_metadata() or ()
        return {name: value for name, value in given if isinstance(value, str)}

    @cached_property
    def request_id(self) -> str:
        """The id that the client has given, or a new one."""
        return request_id_of(self.metadata.get("x-request-id", ""))

    @property
    def client(self) -> str:
        """The client's address."""
        return unquote(self._context.peer()).partition(":")[2].rpartition(":")[0].strip("[]")

    @property
    def remaining_s(self) -> float:
        """The seconds until gRPC's deadline; infinity if the client has set none."""
        remaining_s = self._context.time_remaining()
        return math.inf if remaining_s is None else remaining_s

    def check_key(self) -> None:
        """Check that the call has one of the API keys, and note which one for the metrics.

        Without API keys, allow every call.

        Raises:
            Unauthorized: the key is missing, or it is not one of the API keys.
        """
        scheme, _, token = self.metadata.get("authorization", "").partition(" ")
        keys = self.service.settings.api_keys
        if scheme.lower() == "bearer":
            self.key = name_of(token.strip(" ").encode(), keys)
        if keys and not self.key:
            raise Unauthorized

    def time_allowed_s(self) -> float:
        """Return the seconds that the client waits; infinity if it does not say.

        Raises:
            InvalidRequest: the client has sent a number of milliseconds that is malformed.
        """
        given = self.metadata.get(DEADLINE_MS.name.lower())
        allowed_s = math.inf if given is None else DEADLINE_MS.parsed(given) / 1000
        return min(allowed_s, self.remaining_s)

    async def message(self) -> bytes:
        """Return the message.

        Raises:
            ServiceError: the message is too long or too slow, or too many others arrive.
        """
        return await self._arrivals.message(self._context.read)

    @asynccontextmanager
    async def received(self, read: Callable[[bytes], Read]) -> AsyncIterator[tuple[Received, Read]]:
        """Wait at the door, receive the message, and hold its bytes and its turn.

        A client that goes away cancels the task of its call, so nothing has to tell that it is
        gone.

        Args:
            read: takes what is needed out of the message, which is given up then.

        Raises:
            ServiceError: the message is too long or too slow, or nobody could answer.
        """
        service = self.service
        self.at_door = True
        turn = await service.shares.turn(self.key, 0, self.time_allowed_s())
        self.at_door = False
        try:
            with service.admission.hold(turn) as upload:
                found = read(_counted(await self.message(), upload))
                never = asyncio.get_running_loop().create_future()
                yield Received(service, b"", never, turn), found
        finally:
            if turn.place:
                turn.place.release()


def _counted(message: bytes, upload: Upload) -> bytes:
    upload.add(len(message))
    return message


@dataclass(frozen=True)
class Method:
    """A method of a protocol.

    Attributes:
        answer: returns the message that answers a call.
        dialect: the protocol of the method if it takes photos, otherwise empty.
    """

    answer: Callable[[Call], Awaitable[bytes]]
    dialect: str = ""
