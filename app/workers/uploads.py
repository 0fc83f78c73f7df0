"""Uploads that wait for a decoder, and what becomes of each."""

import asyncio
from collections import deque
from dataclasses import dataclass

from app.workers.decoder import Decoded, Outcome
from app.workers.slots import Slot


@dataclass(eq=False)
class Upload:
    """One upload on its way through the decoders.

    Attributes:
        data: its bytes.
        slot: where its pixels go.
        future: what the request waits for.
        tries: how many decoders have begun with it.
    """

    data: bytes
    slot: Slot
    future: asyncio.Future[Decoded]
    tries: int = 0

    def finish(self, outcome: Outcome) -> None:
        """Give the request its outcome, if it still waits, and the slot its freedom."""
        if not self.future.done():
            if isinstance(outcome, Decoded):
                self.future.set_result(outcome)
            else:
                self.future.set_exception(outcome)
        self.slot.release()


class UploadQueue:
    """The uploads that wait, the oldest first."""

    def __init__(self) -> None:
        self._waiting: deque[Upload] = deque()

    def __bool__(self) -> bool:
        """Whether uploads wait for which a request still waits."""
        return any(not upload.future.done() for upload in self._waiting)

    def add(self, data: bytes, slot: Slot) -> Upload:
        """Append an upload. Cancelling its future takes it out again."""
        upload = Upload(data, slot, asyncio.get_running_loop().create_future())
        slot.retain()
        self._waiting.append(upload)
        return upload

    def put_back(self, upload: Upload, first: bool) -> None:
        """Let an upload that needs another decoder be the first or the last of those that wait."""
        if first:
            self._waiting.appendleft(upload)
        else:
            self._waiting.append(upload)

    def take(self) -> Upload | None:
        """Return the first upload that a request still waits for, or None."""
        while self._waiting:
            upload = self._waiting.popleft()
            if not upload.future.done():
                return upload
            upload.slot.release()
        return None
