"""Protobuf's wire format, as far as this service needs it: fields are read and appended.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

Message = Mapping[int, Sequence[bytes | int]]
_FIXED = {1: 8, 5: 4}  # bytes


def parsed(data: bytes, most: int | None = None) -> Message:
    """Return the values of each field of a message: bytes, or a whole number.

    Args:
        data: the message.
        most: how many values it may have: millions of tiny ones would take a hundred times the
            memory of the message.

    Raises:
        ValueError: `data` is no message, or it has too many values.
    """
    message: dict[int, list[bytes | int]] = {}
    for count, (number, value) in enumerate(_fields(memoryview(data)), 1):
        if most is not None and count > most:
            raise ValueError("a message has too many values")
        message.setdefault(number, []).append(value)
    return message


def messages(message: Message, number: int) -> list[Message]:
    """Return the messages in a field."""
    return [parsed(value) for value in message.get(number, ()) if isinstance(value, bytes)]


def texts(message: Message, number: int) -> list[str]:
    """Return the texts in a field."""
    return [value.decode() for value in message.get(number, ()) if isinstance(value, bytes)]


def numbers(message: Message, number: int, most: int) -> list[int]:
    """Return the first `most` of the whole numbers in a field, which may be packed into one value.

    Raises:
        ValueError: the field is malformed.
    """
    found: list[int] = []
    for value in message.get(number, ()):
        if isinstance(value, int):
            found.append(_signed(value))
            continue
        view, at = memoryview(value), 0
        while at < len(view) and len(found) < most:
            unsigned, at = _read_varint(view, at)
            found.append(_signed(unsigned))
    return found[:most]


def packed(number: int, values: Iterable[int]) -> bytes:
    """Return a field of several whole numbers as it is written."""
    return field(number, b"".join(_varint(value % 2**64) for value in values))


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


def _signed(value: int) -> int:
    """Return the number that a varint means: negative ones are written as two's complement."""
    return value - 2**64 if value >= 2**63 else value


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 127:
        written.append(value & 127 | 128)
        value >>= 7
    return bytes([*written, value])
