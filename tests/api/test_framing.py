"""Heads and bodies, divided as RFC 9112 says, wherever their bytes are cut."""

from collections.abc import Iterator

import pytest

from app.api.bodies import Chunked
from app.api.framing import check_head
from app.api.incoming import Incoming
from app.errors import MalformedRequest


def head(*fields: str, line: str = "POST /predict HTTP/1.1") -> bytes:
    return "\r\n".join([line, *fields, "", ""]).encode("latin-1")


def divided(data: bytes, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the target and the body of each complete request in `data`, given in pieces."""
    incoming, target, body = Incoming(), b"", b""
    for i in range(0, len(data), size):
        incoming.add(data[i : i + size])
        while incoming.unread:
            if not incoming.in_body:
                found = incoming.head()
                if not found:
                    break
                target, body = found.target, b""
            body += incoming.body()
            if not incoming.in_body:
                yield target, body


REFUSED = {
    "no Host": head("Content-Length: 0"),
    "two Hosts": head("Host: a", "Host: a"),
    "two Hosts in HTTP/1.0": head("Host: a", "Host: b", line="GET / HTTP/1.0"),
    "two hosts in one": head("Host: a b"),
    "a path as Host": head("Host: a/b"),
    "bare LF": b"POST / HTTP/1.1\nHost: a\n\n",
    "one bare LF": b"POST / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
    "bare CR": b"POST / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n",
    "CR CR LF": b"POST / HTTP/1.1\r\r\nHost: a\r\n\r\n",
    "folded": head("Host: a", "X: y", " z"),
    "folded with a tab": head("Host: a", "X: y", "\tz"),
    "folded at once": b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    "space before the colon": head("Host: a", "Content-Length : 5"),
    "no colon": head("Host: a", "X"),
    "no name": head("Host: a", ": x"),
    "a name in quotes": head("Host: a", '"X": x'),
    "NUL": head("Host: a", "X: \0"),
    "an escape": head("Host: a", "X: \x1b[31m"),
    "two lengths": head("Host: a", "Content-Length: 5", "Content-Length: 6"),
    "one length twice": head("Host: a", "Content-Length: 5", "Content-Length: 5"),
    "a list of lengths": head("Host: a", "Content-Length: 5, 5"),
    "a negative length": head("Host: a", "Content-Length: -1"),
    "a signed length": head("Host: a", "Content-Length: +5"),
    "a hexadecimal length": head("Host: a", "Content-Length: 0x5"),
    "an empty length": head("Host: a", "Content-Length:"),
    "a huge length": head("Host: a", "Content-Length: 18446744073709551621"),
    "length and chunks": head("Host: a", "Content-Length: 5", "Transfer-Encoding: chunked"),
    "chunks and length": head("Host: a", "Transfer-Encoding: chunked", "Content-Length: 5"),
    "chunked twice": head("Host: a", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    "chunked, chunked": head("Host: a", "Transfer-Encoding: chunked, chunked"),
    "gzip, chunked": head("Host: a", "Transfer-Encoding: gzip, chunked"),
    "identity": head("Host: a", "Transfer-Encoding: identity"),
    "xchunked": head("Host: a", "Transfer-Encoding: xchunked"),
    "chunks in quotes": head("Host: a", 'Transfer-Encoding: "chunked"'),
    "an empty coding": head("Host: a", "Transfer-Encoding:"),
    "vertical tab": head("Host: a", "Transfer-Encoding: \x0bchunked"),
    "chunks in HTTP/1.0": head("Transfer-Encoding: chunked", line="POST / HTTP/1.0"),
    "CONNECT": head("Host: a:1", line="CONNECT a:1 HTTP/1.1"),
    "a method in small letters": head("Host: a", line="get / HTTP/1.1"),
    "HTTP/2": head("Host: a", line="PRI * HTTP/2.0"),
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/1.2": head("Host: a", line="GET / HTTP/1.2"),
    "two spaces": head("Host: a", line="GET  / HTTP/1.1"),
    "a space at the end": head("Host: a", line="GET / HTTP/1.1 "),
    "a tab": head("Host: a", line="GET\t/ HTTP/1.1"),
    "a byte above 127 in the path": head("Host: a", line="GET /\xe9 HTTP/1.1"),
    "TLS": b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("size", [1, 3, 100_000])
def test_a_head_that_can_be_misread_is_refused(name: str, size: int) -> None:
    with pytest.raises(MalformedRequest):
        list(divided(REFUSED[name], size))


@pytest.mark.parametrize("length", [66_000, 100_000, 200_000])
@pytest.mark.parametrize("size", [1000, 65_536, 1_000_000])
def test_a_head_that_is_too_long_is_called_that(length: int, size: int) -> None:
    """What follows the head is no part of it: a photo has bytes that no head may have."""
    data = head("Host: a", "X: " + length * "x") + b"\n\r\0"
    with pytest.raises(MalformedRequest, match="has more than 65,536 bytes"):
        list(divided(data, size))


ACCEPTED = {
    "an empty Host": head("Host:"),
    "an address": head("Host: [::1]:8000"),
    "no Host in HTTP/1.0": head(line="GET / HTTP/1.0"),
    "white space": head("Host: \t a \t"),
    "Latin-1": head("Host: a", "X: \xe9"),
    "an empty value": head("Host: a", "X:"),
    "empty lines before": b"\r\n\r\n" + head("Host: a"),
    "a whole URL": head("Host: a", line="GET http://a/ HTTP/1.1"),
}


@pytest.mark.parametrize("name", ACCEPTED)
@pytest.mark.parametrize("size", [1, 3, 100_000])
def test_an_odd_but_right_head_is_read(name: str, size: int) -> None:
    incoming, found = Incoming(), None
    data = ACCEPTED[name]
    for i in range(0, len(data), size):
        incoming.add(data[i : i + size])
        found = found or incoming.head()
    assert found
    assert incoming.unread == b""


def test_an_offer_of_an_upgrade_is_dropped() -> None:
    fields = ("Host: a", "UPGRADE: h2c", "Connection: Upgrade, HTTP2-Settings", "X-Upgrade: 1")
    checked = check_head(head(*fields, "Upgrade: websocket"))
    assert b"h2c" not in checked.data
    assert b"websocket" not in checked.data
    assert b"\r\nX-Upgrade: 1\r\n" in checked.data
    assert checked.data.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("fields", "version", "persistent"),
    [
        ((), "1.1", True),
        (("Connection: keep-alive",), "1.1", True),
        (("Connection: TE", "Connection: x, Close"), "1.1", False),
        ((), "1.0", False),
    ],
)
def test_who_wants_to_stay_is_known(
    fields: tuple[str, ...], version: str, persistent: bool
) -> None:
    checked = check_head(head("Host: a", *fields, line=f"GET / HTTP/{version}"))
    assert checked.persistent is persistent


CHUNKS = (
    b"4\r\nWiki\r\n"
    b'5;name=value;other="quoted; text"\r\npedia\r\n'
    b"0000e ; x\r\n in\r\n\r\nchunks.\r\n"
    b"0\r\nTrailer: x\r\nContent-Length: 7\r\n\r\n"
)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100_000])
def test_requests_in_a_row_are_divided(size: int) -> None:
    chunked = head("Host: a", "Transfer-Encoding: Chunked", line="POST /chunks HTTP/1.1") + CHUNKS
    hidden = head("Host: a", line="GET /hidden HTTP/1.1")
    length = f"Content-Length: {len(hidden)}"
    sized = head("Host: a", length, line="POST /sized HTTP/1.1") + hidden
    empty = head("Host: a", line="GET /empty HTTP/1.1")
    data = chunked + sized + b"\r\n" + empty + chunked
    assert list(divided(data, size)) == [
        (b"/chunks", b"Wikipedia in\r\n\r\nchunks."),
        (b"/sized", hidden),
        (b"/empty", b""),
        (b"/chunks", b"Wikipedia in\r\n\r\nchunks."),
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"4\nWiki\r\n0\r\n\r\n",
        b"4\r\nWiki\n0\r\n\r\n",
        b"4\r\nWiki0\r\n\r\n",
        b"4\r\nWikipedia\r\n0\r\n\r\n",
        b"4\r\nWiki\r\n0\n\n",
        b"4\r\nWiki\r\n0\r\nTrailer: x\n\r\n",
        b"4\r\nWiki\r\n0\r\n Trailer: x\r\n\r\n",
        b"4\r\nWiki\r\n0\r\nGET / HTTP/1.1\r\n\r\n",
        b"-4\r\n",
        b"+4\r\n",
        b"0x4\r\n",
        b"4 \r\n",
        b" 4\r\n",
        b"\r\n",
        b"4\r;x\r\n",
        b"4;x\ry\r\n",
        b"4;\0\r\n",
        b"fffffffffffffffff\r\n",
        b"1;" + b"x" * 20_000,
        b"0\r\nTrailer: " + b"x" * 20_000,
        b"1\r\nx\r\n" * 10_000,
        b"1;" + b"x" * 100 + b"\r\nx\r\n" * 1000,
    ],
)
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_malformed_chunks_are_refused(data: bytes, size: int) -> None:
    with pytest.raises(MalformedRequest):
        list(map(Chunked().take, (data[i : i + size] for i in range(0, len(data), size))))


def test_a_body_of_small_chunks_is_read() -> None:
    body = Chunked()
    content, rest = body.take(b"64\r\n" + b"x" * 100 + b"\r\n")
    for _ in range(9_999):
        piece, rest = body.take(b"64\r\n" + b"x" * 100 + b"\r\n")
        content += piece
    body.take(b"0\r\n\r\n")
    assert (len(content), rest, body.done) == (1_000_000, b"", True)
