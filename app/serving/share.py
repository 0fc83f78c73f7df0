"""The share of one API key: how many photos it may send in a second, and have inside at once."""

import asyncio
import math

from app.errors import KeyBusy, KeyRate, ServiceError
from app.settings import Settings
from app.telemetry.metrics import Metrics

# So many requests of all keys together may wait for their key's share, because each holds as much
# memory as one at the door. Each key may have an equal part of them, or at least the second number.
_MAX_WAITING = 256
_LEAST_WAITING = 16


class Bucket:
    """A token bucket with a token for each photo. It may have debts, which time pays.

    All times are those of one clock that never goes back, in seconds.
    """

    def __init__(self, per_s: float, burst: int, now: float) -> None:
        """Make a full bucket.

        Args:
            per_s: tokens that it gains in a second.
            burst: tokens that it has at most.
            now: the time.
        """
        self._per_s = per_s
        self._burst = burst
        self._tokens = float(burst)
        self._then = now

    def due_in(self, now: float) -> float:
        """Return the seconds until there is a token for one more photo."""
        self._tokens = min(self._burst, self._tokens + (now - self._then) * self._per_s)
        self._then = now
        return max(0.0, (1 - self._tokens) / self._per_s)

    def take(self) -> None:
        """Take a token now, even if it is not there before the time that `due_in` has told."""
        self._tokens -= 1

    def give_back(self) -> None:
        """Give a token back, because its photo has not come in."""
        self._tokens += 1


class Share:
    """What one key has of the service.

    Attributes:
        inside: photos of the key that have a place.
        waiting: requests of the key that wait for a token or for a place.
    """

    def __init__(self, key: str, keys: int, settings: Settings, metrics: Metrics) -> None:
        """Make the share of a key that sends nothing yet.

        Args:
            key: the name of the key in the metrics.
            keys: the number of all keys.
            settings: the settings with the limits.
            metrics: the metrics.
        """
        self.inside = 0
        self.waiting = 0
        self._max_waiting = max(_LEAST_WAITING, _MAX_WAITING // keys)
        now = asyncio.get_running_loop().time()
        per_s, most = settings.key_photos_per_s, settings.key_concurrency
        self._bucket = Bucket(per_s, settings.burst, now) if per_s else None
        self._places = asyncio.Semaphore(most) if most else None
        # Prometheus sees no increase in a series that is new.
        self._refused = {
            kind.code: metrics.key_refused.labels(key, kind.code) for kind in (KeyBusy, KeyRate)
        }
        metrics.key_in_flight.labels(key).set_function(lambda: self.inside)

    async def enter(self, patience_s: float) -> "Place":
        """Return a place for the first photo of a request, with a token for it.

        Unless too many requests of the key wait already, a refusal comes only after `patience_s`: a
        client that sends again at once would otherwise take the time that others' answers need.

        Raises:
            KeyBusy: the key's photos have kept all its places, or too many of its requests wait.
            KeyRate: the key has sent so many photos that its next token comes too late.
        """
        if self.waiting >= self._max_waiting:
            raise self._refusal(KeyBusy)
        latest = asyncio.get_running_loop().time() + patience_s
        self.waiting += 1
        try:
            await self._token(patience_s)
            try:
                async with asyncio.timeout_at(latest):
                    return await self.another(paid=True)
            except BaseException:
                self.give_back()
                raise
        except TimeoutError:
            raise self._refusal(KeyBusy) from None
        finally:
            self.waiting -= 1

    async def another(self, paid: bool = False) -> "Place":
        """Return a place for a photo, when there is one.

        Args:
            paid: whether the photo has its token. A further photo of a request that is inside
                needs none: it makes debts.
        """
        if self._places:
            await self._places.acquire()
        if self._bucket and not paid:
            self._bucket.take()
        self.inside += 1
        return Place(self)

    def leave(self) -> None:
        """Give the place of one photo to the next one."""
        self.inside -= 1
        if self._places:
            self._places.release()

    def give_back(self) -> None:
        """Give the token of a photo back that has not come in."""
        if self._bucket:
            self._bucket.give_back()

    async def _token(self, patience_s: float) -> None:
        """Wait for a token.

        Raises:
            KeyRate: it would come too late.
        """
        if self._bucket is None:
            return
        due_s = self._bucket.due_in(asyncio.get_running_loop().time())
        if due_s > patience_s:
            await asyncio.sleep(patience_s)
            raise self._refusal(KeyRate)
        self._bucket.take()
        if due_s:
            try:
                await asyncio.sleep(due_s)
            except asyncio.CancelledError:
                self.give_back()
                raise

    def _refusal(self, kind: type[KeyBusy | KeyRate]) -> ServiceError:
        self._refused[kind.code].inc()
        due_s = self._bucket.due_in(asyncio.get_running_loop().time()) if self._bucket else 0
        return kind(retry_after_s=max(1, math.ceil(due_s)))


class Place:
    """The place of one photo in the share of its key."""

    def __init__(self, share: Share) -> None:
        self.share = share
        self._taken = True

    def release(self) -> None:
        """Leave the place to the next photo of the key. A second call does nothing."""
        if self._taken:
            self._taken = False
            self.share.leave()
