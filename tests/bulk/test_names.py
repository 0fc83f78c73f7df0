"""The names in a table: readable, on one line, and each leads back to its file."""

import itertools
import os

import pytest

from app.bulk.names import path_of, shown


@pytest.mark.parametrize("name", ["a/b.jpg", "Gänse blümchen.jpg", "s3://photos/1.jpg", r"a\b.jpg"])
def test_an_ordinary_name_stays(name: str) -> None:
    assert shown(name) == name
    assert path_of(name) == name


def test_a_byte_that_is_not_utf8_is_shown() -> None:
    assert shown(os.fsdecode(b"caf\xe9.jpg")) == r"caf\xe9.jpg"


def test_a_line_feed_is_shown() -> None:
    assert shown("two\nlines.jpg") == r"two\x0alines.jpg"


def test_every_name_leads_back_and_none_is_shown_twice() -> None:
    pieces = [b"\xe9", b"\\", b"x", b"e9", b"5c", b"\n", b"0a"]
    paths = {
        os.fsdecode(b"".join(some))
        for count in range(1, 5)
        for some in itertools.product(pieces, repeat=count)
    }
    found = {shown(path): path for path in paths}
    assert len(found) == len(paths)
    assert all(path_of(name) == path for name, path in found.items())
    assert all(name.isprintable() and name.encode() for name in found)
