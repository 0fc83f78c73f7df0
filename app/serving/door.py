"""The door: requests wait here until it is their turn, and their uploads are not read before."""

import asyncio
import math
from collections import deque
from dataclasses import dataclass

from app.errors import DeadlineUnreachable, NotReady, Overloaded, ServiceError
from app.serving.admission import Admission, Turn
from app.settings import Settings
from app.telemetry.metrics import Metrics

# Each one that waits holds a connection, and up to 320 kB of its upload that were read with its
# head; the kernel holds more.
_MAX_WAITING = 256
# An upload that takes longer than this loses its turn, and waits for another one when it is
# complete. It is short, because a hundred slow uploads that come first take a hundred turns.
_TURN_S = 0.02


@dataclass(eq=False)
class _Waiting:
    future: asyncio.Future[Turn]
    size: int
    since: float
    latest: float


class Door:
    """Gives out turns, in the order of arrival.

    A request that can no longer be answered in time is refused when that time is over: a client
    that sends again at once would otherwise take the time that answers need. A request is refused
    at once if the predicted wait exceeds the client's deadline, or if too many others wait.

    Attributes:
        waiting: requests that wait for their turn.
    """

    def __init__(self, admission: Admission, settings: Settings, metrics: Metrics) -> None:
        self.waiting = 0
        self._admission = admission
        self._longest_wait_s = settings.longest_wait_s
        self._unread: deque[_Waiting] = deque()
        self._read: deque[_Waiting] = deque()
        # Those who would be answered too late come in only if nobody else wants the place.
        self._late: deque[_Waiting] = deque()
        # Of both lines, one request is let in after the other.
        self._unread_is_next = False
        admission.on_room = self._let_in
        metrics.waiting.set_function(lambda: self.waiting)

    def ask(
        self,
        size: int = 0,
        time_allowed_s: float = math.inf,
        *,
        read: bool = False,
        patient: bool = False,
    ) -> asyncio.Future[Turn]:
        """Return the future turn of a request. Cancelling it takes the request out of the line.

        The future raises a ServiceError if the turn cannot come in time.

        Args:
            size: bytes of the upload; 0 if the client announces none.
            time_allowed_s: seconds that the client waits.
            read: whether the upload has arrived already. Those have a line of their own.
            patient: whether it waits as long as the client does. So do the further photos of a
                request of which one has been let in.

        Raises:
            NotReady: no worker is left, and new ones repeatedly fail to start.
            DeadlineUnreachable: the predicted wait is longer than `time_allowed_s`.
            Overloaded: too many others wait.
        """
        self._admission.check()
        if self._admission.seconds_for(self.waiting) > time_allowed_s:
            raise DeadlineUnreachable(retry_after_s=self._retry_after_s())
        if self.waiting >= _MAX_WAITING:
            raise Overloaded(retry_after_s=self._retry_after_s())
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Turn] = loop.create_future()
        if self._next_line() or not self._admission.make_room(size):
            self._queue(future, size, time_allowed_s, read=read, patient=patient)
        else:
            future.set_result(self._turn(0.0))
        return future

    def _queue(
        self,
        future: asyncio.Future[Turn],
        size: int,
        time_allowed_s: float,
        *,
        read: bool,
        patient: bool,
    ) -> None:
        loop = asyncio.get_running_loop()
        since = loop.time()
        late = patient or time_allowed_s < self._longest_wait_s
        patience_s = time_allowed_s if late else self._longest_wait_s
        waiting = _Waiting(future, size, since, since + patience_s)
        timer = loop.call_later(patience_s, self._refuse, waiting, late)
        self.waiting += 1

        def leave(_: asyncio.Future[Turn]) -> None:
            timer.cancel()
            self.waiting -= 1

        future.add_done_callback(leave)
        (self._read if read else self._unread).append(waiting)

    def _let_in(self) -> None:
        """Give turns to those who are next while there is room. This function never awaits."""
        while (line := self._next_line()) and self._admission.make_room(line[0].size):
            waiting = line.popleft()
            self._unread_is_next = line is self._read
            now = asyncio.get_running_loop().time()
            late = now + self._admission.seconds_for(0) > waiting.latest
            if late and line is not self._late:
                self._late.append(waiting)
            else:
                waiting.future.set_result(self._turn(now - waiting.since))

    def _next_line(self) -> deque[_Waiting] | None:
        first, second = self._read, self._unread
        if self._unread_is_next:
            first, second = second, first
        for line in (first, second, self._late):
            while line and line[0].future.done():
                line.popleft()
            if line:
                return line
        return None

    def _turn(self, waited_s: float) -> Turn:
        turn = self._admission.begin_turn(waited_s)
        asyncio.get_running_loop().call_later(_TURN_S, turn.end)
        return turn

    def _refuse(self, waiting: _Waiting, late: bool) -> None:
        if not waiting.future.done():
            waiting.future.set_exception(self._error(late))
            # Uploads that stall may hold all bytes. They end when the door asks for room, and while
            # somebody always waits nobody else asks.
            self._let_in()

    def _error(self, late: bool) -> ServiceError:
        try:
            self._admission.check()
        except NotReady as error:
            return error
        kind = DeadlineUnreachable if late else Overloaded
        return kind(retry_after_s=self._retry_after_s())

    def _retry_after_s(self) -> int:
        return max(1, math.ceil(self._admission.seconds_for(self.waiting)))
