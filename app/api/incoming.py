"""The bytes of one connection, divided into heads and bodies."""

import re

from app.api.bodies import Chunked, Sized
from app.api.framing import END, Head, check_beginning, check_head
from app.errors import MalformedRequest

MAX_HEAD_BYTES = 64 * 1024

_EMPTY_LINES = re.compile(rb"(?:\r\n)*")


class Incoming:
    """Finds out which of the bytes that arrive belong to which request.

    Attributes:
        unread: bytes that have arrived and belong to no request yet.
    """

    def __init__(self) -> None:
        self.unread = b""
        self._searched = 0
        self._body: Sized | Chunked = Sized(0)

    @property
    def in_body(self) -> bool:
        """Whether a body has begun and is not complete."""
        return not self._body.done

    @property
    def in_head(self) -> bool:
        """Whether a head has begun and is not complete."""
        return self._searched > 0

    def add(self, data: bytes) -> None:
        """Take `data`, which has just arrived."""
        self.unread = self.unread + data if self.unread else data

    def head(self) -> Head | None:
        """Take the next head from the unread bytes; return None if it is not complete yet.

        The body before it must be complete.

        Raises:
            MalformedRequest: what has arrived cannot become a head that RFC 9112 allows, or it is
                longer than any head may be.
        """
        if not self._searched:
            # RFC 9112 lets clients send empty lines before a request.
            self.unread = self.unread[_match_end(self.unread) :]
            if self.unread in (b"", b"\r"):
                return None
        end = self.unread.find(END, max(0, self._searched - len(END) + 1))
        length = len(self.unread) if end < 0 else end
        if length > MAX_HEAD_BYTES:
            raise MalformedRequest(f"The request's head has more than {MAX_HEAD_BYTES:,} bytes")
        if end < 0:
            check_beginning(self.unread, self._searched)
            self._searched = len(self.unread)
            return None
        end += len(END)
        head = check_head(self.unread[:end])
        self.unread, self._searched = self.unread[end:], 0
        self._body = Chunked() if head.length is None else Sized(head.length)
        return head

    def body(self) -> bytes:
        """Take what has arrived of the body that has begun, and return its content.

        Raises:
            MalformedRequest: the body comes in chunks and these are malformed.
        """
        piece, self.unread = self._body.take(self.unread)
        return piece


def _match_end(data: bytes) -> int:
    match = _EMPTY_LINES.match(data)
    return match.end() if match else 0
