"""The URLs that the load tool accepts."""

import re

import pytest

from app.bench.load.target import Target
from app.errors import StartupError


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://127.0.0.1:8000", Target("127.0.0.1", 8000, "/predict")),
        ("http://host/", Target("host", 80, "/predict")),
        ("http://[::1]:9/classify?k=1", Target("::1", 9, "/classify?k=1")),
    ],
)
def test_addresses(url: str, target: Target) -> None:
    assert Target.parse(url) == target


@pytest.mark.parametrize("url", ["https://host", "host:8000", "http://:1", "http://host:x"])
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(StartupError, match=re.escape(url)):
        Target.parse(url)
