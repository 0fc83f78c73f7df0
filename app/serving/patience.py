"""How long a client waits for the answer to a photo."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from app.errors import ClientClosed, DeadlineExceeded


@dataclass(frozen=True)
class Patience:
    """How long the client of a photo waits.

    Attributes:
        time_allowed_s: seconds that the client waits; infinity if it does not say.
        gone: a future that is done when the client has closed the connection.
        at_the_door: whether the photo may wait for its turn for all this time, because the service
            has already let in another photo of its request.
    """

    time_allowed_s: float
    gone: asyncio.Future[None]
    at_the_door: bool = False

    @asynccontextmanager
    async def ending_in(self, seconds: float) -> AsyncIterator[None]:
        """End the block after so many seconds, or when the client leaves.

        Raises:
            ClientClosed: the client has closed the connection.
            DeadlineExceeded: the time is over.
        """
        try:
            async with asyncio.timeout(seconds) as limit:

                def end(_: asyncio.Future[None]) -> None:
                    # The time may be over, or the block may have ended, in this very moment.
                    with suppress(RuntimeError):
                        limit.reschedule(0)

                self.gone.add_done_callback(end)
                try:
                    yield
                finally:
                    self.gone.remove_done_callback(end)
        except TimeoutError:
            raise (ClientClosed if self.gone.done() else DeadlineExceeded) from None
