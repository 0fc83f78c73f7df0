"""Photos of colours, and a bundle that classifies them, for the tests of evaluations."""

from pathlib import Path

import pytest
from drawn import COLOURS, draw, draw_classes
from networks import colour_network, small_card

from app.training.network.export import export


@pytest.fixture(scope="module")
def colour_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that classifies colours: a cat is red, a dog green, a Gänseblümchen blue."""
    folder = tmp_path_factory.mktemp("bundles") / "colours"
    export(colour_network(), small_card(), folder)
    return folder


@pytest.fixture
def colour_photos(tmp_path: Path) -> Path:
    """4 cats, 2 dogs, 3 daisies, and a green photo in the folder of the cats."""
    photos = tmp_path / "my photos"
    draw_classes(photos, {"cat": 4, "dog": 2, "Gänseblümchen": 3})
    draw(photos / "cat" / "green.png", COLOURS["dog"], 99)
    return photos
