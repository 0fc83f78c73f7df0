"""Reads multipart forms, as RFC 2046 and RFC 7578 say."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.errors import MalformedBody

MEDIA_TYPE = "multipart/form-data"

# Several photos, and some fields beside them.
_MAX_PARTS = 300


@dataclass
class Part:
    """A part of a form.

    Attributes:
        name: the field's name.
        is_file: whether the part has a file name.
        content: its bytes.
    """

    name: str = ""
    is_file: bool = False
    content: bytes = b""


def parts_of(body: bytes, content_type: str) -> Sequence[Part]:
    """Return the parts of a form. Its `charset` changes nothing: all names are read as UTF-8.

    Raises:
        MalformedBody: the body is no form, or it has too many parts.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise MalformedBody("The form's Content-Type names no boundary")
    if not body:
        return []
    reader = _Reader()
    try:
        parser = MultipartParser(boundary, reader.callbacks)  # type: ignore[arg-type]
        parser.write(_without_preamble(body, boundary))
        parser.finalize()
    except FormParserError:
        raise MalformedBody("The body is not a well-formed multipart form") from None
    if reader.in_part:
        raise MalformedBody("The form does not end with its boundary")
    return reader.parts


@dataclass
class _Reader:
    """Collects what python-multipart finds."""

    parts: list[Part] = field(default_factory=list)
    in_part: bool = False
    _header: bytes = b""
    _value: bytes = b""
    _disposition: bytes = b""
    _pieces: list[bytes] = field(default_factory=list)

    @property
    def callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self.part_begin,
            "on_header_field": self.header_field,
            "on_header_value": self.header_value,
            "on_header_end": self.header_end,
            "on_headers_finished": self.headers_finished,
            "on_part_data": self.part_data,
            "on_part_end": self.part_end,
        }

    def part_begin(self) -> None:
        self._disposition = b""
        self.in_part = True
        if len(self.parts) == _MAX_PARTS:
            raise MalformedBody(f"The form has more than {_MAX_PARTS} parts")

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise MalformedBody("A part of the form has no name")
        name = options[b"name"].decode("utf-8", "replace")
        self.parts.append(Part(name, b"filename" in options))

    def part_data(self, data: bytes, start: int, end: int) -> None:
        self._pieces.append(data[start:end])

    def part_end(self) -> None:
        self.parts[-1].content = b"".join(self._pieces)
        self._pieces.clear()
        self.in_part = False


def _without_preamble(body: bytes, boundary: bytes) -> bytes:
    """Return the form from its first boundary on, without white space behind that boundary.

    RFC 2046, section 5.1.1, allows a preamble there, and spaces or tabs behind the boundary.
    python-multipart 0.0.34 reads both correctly everywhere else: after the first boundary it
    accepts the spaces, and after the last one any text.

    Raises:
        MalformedBody: no line of the body is the boundary.
    """
    line = b"--" + boundary
    if body.startswith(line + b"\r\n"):
        return body
    first = re.compile(rb"(?:\A|\r\n)" + re.escape(line) + rb"(?:[ \t]*(\r\n)|(--))")
    found = first.search(body)
    if not found:
        raise MalformedBody("No line of the body is the boundary that the Content-Type names")
    return line + (found[1] or found[2]) + body[found.end() :]
