"""The bodies of requests: which of the bytes on a connection belong to one, as RFC 9112 says."""

import re

from app.errors import MalformedRequest

# What a client may spend on sizes, extensions and trailers, besides one byte for a byte of data.
# Without a bound, a body of tiny chunks would keep the event loop busy.
_MAX_FRAMING_BYTES = 16 * 1024

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?\r\n")
_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n")


class Sized:
    """A body of `length` bytes.

    Attributes:
        done: whether the body is complete.
    """

    def __init__(self, length: int) -> None:
        self._left = length
        self.done = not length

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the bytes of `data` that belong to the body, and those that follow the body."""
        piece = data[: self._left]
        self._left -= len(piece)
        self.done = not self._left
        return piece, data[len(piece) :]


class Chunked:
    """A body in chunks. Its extensions and trailers are checked and dropped.

    Attributes:
        done: whether the body is complete.
    """

    def __init__(self) -> None:
        self.done = False
        # The bytes of a line that is not complete yet.
        self._line = b""
        # The bytes of the chunk that are still to come, with CR and LF after it. Before the line
        # with the size they are 0.
        self._left = 0
        self._in_trailer = False
        self._data_bytes = 0
        self._framing_bytes = 0

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the content of the chunks in `data`, and the bytes that follow the body.

        Raises:
            MalformedRequest: the chunks are malformed, or most of the body is not content.
        """
        pieces: list[bytes] = []
        position = 0
        while position < len(data) and not self.done:
            if self._left > 2:
                piece = data[position : position + self._left - 2]
                pieces.append(piece)
                self._data_bytes += len(piece)
                self._left -= len(piece)
                position += len(piece)
            elif self._left:
                position = self._after_chunk(data, position)
            else:
                position = self._take_line(data, position)
        return b"".join(pieces), data[position:]

    def _after_chunk(self, data: bytes, position: int) -> int:
        """Read a byte of the CR and LF after a chunk, and return the position behind it."""
        if data[position] != b"\n\r"[self._left - 1]:
            raise MalformedRequest("A chunk of the body does not end with CR and LF")
        self._left -= 1
        return position + 1

    def _take_line(self, data: bytes, position: int) -> int:
        """Read up to the end of a line, and return the position behind it."""
        end = data.find(b"\n", position) + 1
        piece = data[position : end or len(data)]
        self._line += piece
        self._framing_bytes += len(piece)
        too_long = len(self._line) > _MAX_FRAMING_BYTES
        if too_long or self._framing_bytes > _MAX_FRAMING_BYTES + self._data_bytes:
            raise MalformedRequest("The body's chunks are too small, or their lines too long")
        if end:
            line, self._line = self._line, b""
            (self._read_trailer if self._in_trailer else self._read_size)(line)
        return position + len(piece)

    def _read_size(self, line: bytes) -> None:
        size = _SIZE.fullmatch(line)
        if not size:
            raise MalformedRequest("The body has a line that is not the size of a chunk")
        length = int(size[1], 16)
        self._left = length and length + 2
        self._in_trailer = not length

    def _read_trailer(self, line: bytes) -> None:
        if line == b"\r\n":
            self.done = True
        elif not _TRAILER.fullmatch(line):
            raise MalformedRequest("The body has a trailer that is not of the form 'Name: value'")
