"""Fixtures of drawn pictures, of which networks in 8 bits are made."""

from pathlib import Path

import pytest
from drawn import COLOURS, draw_classes


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 60 drawn pictures."""
    folder = tmp_path_factory.mktemp("photos")
    draw_classes(folder, dict.fromkeys(COLOURS, 20))
    return folder


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Other drawn pictures. With them, only one network of 8 bits is made instead of three."""
    folder = tmp_path_factory.mktemp("labelled")
    draw_classes(folder, dict.fromkeys(COLOURS, 4), first_seed=500)
    return folder
