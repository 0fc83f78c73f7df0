"""Fair shares: with limits by key, a request first waits for its key's share, then at the door."""

import asyncio
import hashlib

from app.serving.admission import Turn
from app.serving.door import Door
from app.serving.share import Share
from app.settings import Settings
from app.telemetry.metrics import Metrics

_NAME_LENGTH = 8  # hexadecimal digits


def key_name(key: bytes) -> str:
    """Return the name of a key in the metrics: nobody can compute a random key from it."""
    return hashlib.sha256(key).hexdigest()[:_NAME_LENGTH]


class Shares:
    """The shares of all keys in front of the door. Without limits, requests go to the door.

    So the door's line has no more photos of a key than the key has places, and whoever comes with
    another key waits for those at most.
    """

    def __init__(self, door: Door, settings: Settings, metrics: Metrics) -> None:
        self._door = door
        self._longest_wait_s = settings.longest_wait_s
        self._shares: dict[str, Share] = {}
        if settings.limits_keys:
            names = {key_name(key.get_secret_value().encode()) for key in settings.api_keys}
            self._shares = {name: Share(name, len(names), settings, metrics) for name in names}

    def ask(self, key: str, size: int, time_allowed_s: float) -> asyncio.Future[Turn]:
        """Return the future turn of a request. Cancelling it takes the request out of the line.

        Whoever gets the turn has to release its place when the request has its answer.

        Args:
            key: the name of the request's API key; empty if it has none.
            size: bytes of the upload; 0 if the client announces none.
            time_allowed_s: seconds that the client waits.

        Raises:
            ServiceError: the turn cannot come in time, and the future may raise that, too.
        """
        if key in self._shares:
            return asyncio.ensure_future(self.turn(key, size, time_allowed_s))
        return self._door.ask(size, time_allowed_s)

    async def turn(self, key: str, size: int, time_allowed_s: float) -> Turn:
        """Return the turn of a request when it comes, as `ask` does."""
        share = self._shares.get(key)
        if share is None:
            return await self._door.ask(size, time_allowed_s)
        clock = asyncio.get_running_loop().time
        started = clock()
        place = await share.enter(min(self._longest_wait_s, time_allowed_s))
        waited_s = clock() - started
        try:
            turn = await self._door.ask(size, time_allowed_s - waited_s)
        except BaseException:
            place.release()
            share.give_back()
            raise
        turn.waited_s += waited_s
        turn.place = place
        return turn
