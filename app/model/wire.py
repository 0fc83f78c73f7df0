"""Protobuf's wire format, as far as network files need it: fields are read and appended.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator, Mapping, Sequence

Message = Mapping[int, Sequence[bytes | int]]
_FIXED = {1: 8, 5: 4}  # bytes


def parsed(data: bytes) -> Message:
    """Return the values of each field of a message: bytes, or a whole number.

    Raises:
        ValueError: `data` is no message.
    """
    message: dict[int, list[bytes | int]] = {}
    for number, value in _fields(memoryview(data)):
        message.setdefault(number, []).append(value)
    return message


def messages(message: Message, number: int) -> list[Message]:
    """Return the messages in a field."""
    return [parsed(value) for value in message.get(number, ()) if isinstance(value, bytes)]


def texts(message: Message, number: int) -> list[str]:
    """Return the texts in a field."""
    return [value.decode() for value in message.get(number, ()) if isinstance(value, bytes)]


def field(number: int, value: bytes | str | int) -> bytes:
    """Return a field as it is written: a message, a text, or a whole number from 0 on."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _fields(data: memoryview) -> Iterator[tuple[int, bytes | int]]:
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = _read_varint(data, at)
            yield number, value
            continue
        if kind == 2:
            size, at = _read_varint(data, at)
        elif kind in _FIXED:
            size = _FIXED[kind]
        else:
            raise ValueError("a field has an unknown type")
        if at + size > len(data):
            raise ValueError("a field is truncated")
        yield number, bytes(data[at : at + size])
        at += size


def _read_varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return the number that begins at `at`, and where the next bytes begin."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("a number is truncated")
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 127:
        written.append(value & 127 | 128)
        value >>= 7
    return bytes([*written, value])
