"""Protobuf's wire format: what is written is read again, and nobody's message becomes too large."""

import pytest

from app.model.wire import field, numbers, packed, parsed, texts


def test_fields_are_read_as_they_were_written() -> None:
    message = parsed(field(1, "name") + field(2, 300) + field(1, "other"))
    assert texts(message, 1) == ["name", "other"]
    assert message[2] == [300]


def test_whole_numbers_may_be_negative_and_packed() -> None:
    shape = [-1, 0, 1000, 2**40]
    assert numbers(parsed(packed(3, shape)), 3, 10) == shape
    assert numbers(parsed(field(3, 7) + packed(3, [8, 9])), 3, 10) == [7, 8, 9]
    assert numbers(parsed(packed(3, range(1000))), 3, 4) == [0, 1, 2, 3]
    assert numbers({}, 3, 4) == []


def test_a_message_may_have_only_so_many_values() -> None:
    data = field(1, "") * 5
    assert len(parsed(data, most=5)[1]) == 5
    with pytest.raises(ValueError, match="too many"):
        parsed(data, most=4)


@pytest.mark.parametrize("data", [b"\x0a", b"\x0a\x05ab", b"\x0b", b"\xff" * 11, b"\x09abc"])
def test_what_is_no_message_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"truncated|unknown"):
        parsed(data)
