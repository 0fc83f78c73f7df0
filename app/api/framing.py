"""Where a request's head ends and how long its body is, as RFC 9112 says.

uvicorn's parser reads some heads otherwise than a proxy in front of it would. Such a head could
hide a second request in its body, so this module refuses it before the parser sees it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.errors import MalformedRequest

END = b"\r\n\r\n"

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# A value may have spaces, tabs, visible characters and bytes above 127, but no control characters.
_FIELD = re.compile(rb"(" + _TOKEN + rb"):[ \t]*([\t\x20-\x7e\x80-\xff]*)\r\n")
_FIELDS = re.compile(rb"(?:" + _TOKEN + rb":[\t\x20-\x7e\x80-\xff]*\r\n)*")
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([\x21-\x7e]+) HTTP/(1\.[01])")
# A name or an IPv4 address, or an IPv6 address in brackets, and a port. All may be empty.
_HOST = re.compile(rb"(?:[\w.~!$&'()*+,;=%-]*|\[[\w:.%~-]+\])(?::[0-9]*)?")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_UPGRADE = re.compile(rb"\r\nupgrade:[^\r]*", re.IGNORECASE)
_LONE = re.compile(rb"(?<!\r)\n|\r(?=[^\n])")


@dataclass(frozen=True)
class Head:
    """The checked head of a request.

    Attributes:
        method: the method, such as b"POST".
        target: the path and the query.
        version: b"1.0" or b"1.1".
        fields: the values of each field, by its name in small letters.
        length: bytes of the body; None if the body comes in chunks.
        data: the bytes for uvicorn's parser. They offer no upgrade, because the service speaks
            only HTTP/1.1, and a server may ignore such an offer.
    """

    method: bytes
    target: bytes
    version: bytes
    fields: Mapping[bytes, Sequence[bytes]]
    length: int | None
    data: bytes

    def value(self, name: bytes) -> bytes:
        """Return the value of the field `name`; empty if the field is missing or repeated."""
        values = self.fields.get(name, ())
        return values[0] if len(values) == 1 else b""

    def first(self, name: bytes) -> bytes:
        """Return the first value of the field `name`, as the application does; empty if missing."""
        return next(iter(self.fields.get(name, ())), b"")

    def text(self, name: str) -> str:
        """Return the same as `value`, as text."""
        return self.value(name.encode()).decode("latin-1")

    @property
    def persistent(self) -> bool:
        """Whether the client wants to send another request on the same connection."""
        options = b",".join(self.fields.get(b"connection", ())).lower().split(b",")
        return self.version == b"1.1" and b"close" not in (option.strip() for option in options)


def check_beginning(data: bytes, position: int) -> None:
    """Check the bytes of a head that is not complete yet, from `position` on.

    Without this check, a client that ends its lines with LF alone, or that speaks TLS, would wait
    for an answer.

    Raises:
        MalformedRequest: a line ends with CR or LF alone, or the head begins with another protocol.
    """
    if not position and not re.match(_TOKEN, data):
        raise MalformedRequest("The connection does not begin with a request in plain HTTP/1.1")
    if _LONE.search(data, max(0, position - 1)):
        raise MalformedRequest("A line of the request's head does not end with CR and LF")


def check_head(data: bytes) -> Head:
    """Return the head `data`, which ends with an empty line.

    Raises:
        MalformedRequest: RFC 9112 forbids the head, or lets two readers see two different bodies.
    """
    check_beginning(data, position=0)
    first, _, rest = data.partition(b"\r\n")
    line = _REQUEST_LINE.fullmatch(first)
    if not line:
        raise MalformedRequest("The request's first line is not of the form 'GET /path HTTP/1.1'")
    method, target, version = line.groups()
    if method != method.upper():
        raise MalformedRequest("The request's method has small letters; methods are case-sensitive")
    if method == b"CONNECT":
        raise MalformedRequest("The service is no proxy, so it refuses CONNECT")
    fields = _fields(rest[:-2])
    _check_host(fields.get(b"host", ()), version)
    length = _body_length(fields, version)
    if b"upgrade" in fields:
        data = _UPGRADE.sub(b"", data)
    return Head(method, target, version, fields, length, data)


def _fields(lines: bytes) -> Mapping[bytes, Sequence[bytes]]:
    if not _FIELDS.fullmatch(lines):
        raise MalformedRequest("A line of the request's head is not of the form 'Name: value'")
    fields: dict[bytes, list[bytes]] = {}
    for name, value in _FIELD.findall(lines):
        fields.setdefault(name.lower(), []).append(value.rstrip(b" \t"))
    return fields


def _check_host(hosts: Sequence[bytes], version: bytes) -> None:
    if len(hosts) > 1 or (version == b"1.1" and not hosts):
        raise MalformedRequest("The request must have exactly one Host")
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise MalformedRequest("The request's Host is not the name of a host")


def _body_length(fields: Mapping[bytes, Sequence[bytes]], version: bytes) -> int | None:
    """Return the bytes of the body, 0 without a body, or None for a body in chunks."""
    lengths, codings = fields.get(b"content-length", ()), fields.get(b"transfer-encoding", ())
    if len(lengths) + len(codings) > 1:
        raise MalformedRequest("The request gives the length of its body more than once")
    if codings and (codings[0].lower() != b"chunked" or version == b"1.0"):
        raise MalformedRequest("The service knows no Transfer-Encoding but chunked, in HTTP/1.1")
    if lengths and not _LENGTH.fullmatch(lengths[0]):
        raise MalformedRequest("The request's Content-Length is not a number of at most 18 digits")
    if codings:
        return None
    return int(lengths[0]) if lengths else 0
