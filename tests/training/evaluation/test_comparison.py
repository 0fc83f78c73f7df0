"""Several bundles on the same photos: known answers give known differences."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from commands import Run
from html_pages import Page
from networks import LABELS, colour_network, small_card

from app.training.network.export import export

pytest_plugins = ["colour_fixtures"]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A bundle that is right about colours, and one that takes cats for dogs and dogs for cats."""
    folder = tmp_path_factory.mktemp("bundles")
    export(colour_network(), small_card(), folder / "right")
    swapped = replace(small_card(), labels=("dog", "cat", LABELS[2]))
    export(colour_network(), swapped, folder / "swapped")
    return folder / "right", folder / "swapped"


@pytest.fixture
def photos(colour_photos: Path) -> Path:
    return colour_photos


def test_two_bundles_photo_by_photo(
    run: Run, bundles: tuple[Path, Path], photos: Path, tmp_path: Path
) -> None:
    right, swapped = bundles
    (photos / "dog" / "broken.png").write_bytes(b"no photo")
    ended = run("evaluate", right, swapped, photos, "--output", tmp_path / "out")
    assert ended.code == 0, ended.err
    document = json.loads(ended.out.splitlines()[-1])
    assert [row["top1"] for row in document["bundles"]] == [0.9, 0.4]
    (comparison,) = document["comparisons"]
    assert (comparison["bundle"], comparison["than"]) == (str(swapped), str(right))
    # Only the green photo among the cats is a hit of the swapped names.
    assert (comparison["only_this_right"], comparison["only_that_right"]) == (1, 6)
    assert comparison["photos"] == 10
    assert comparison["difference"] == -0.5
    # (1 + 1, 6 + 1) of 10 + 2 photos, by hand.
    assert comparison["interval"] == pytest.approx([-0.846218, 0.012885], abs=1e-6)
    assert comparison["verdict"] == "unclear"
    assert "-50.0" in ended.out
    assert json.loads((tmp_path / "out" / "comparison.json").read_text("utf-8")) == document

    page = Page(tmp_path / "out" / "report.html")
    assert [row[1] for row in page.tables["Accuracy"][1:]] == ["90.0%", "40.0%"]
    text = page.texts[f"{swapped} beside {right}"]
    assert "-50.0 points95 % interval -84.6 to +1.3" in text
    assert "Only this one is right1of 10 photosOnly the first is right6of 10 photos" in text
    assert "These photos cannot tell which one is better." in text
    assert f"{swapped}: cat" in text
    assert len(page.sources) == 7
    for number in ("1", "2"):
        assert Page(tmp_path / "out" / number / "report.html").tables["Classes"]


def test_a_bundle_beside_itself(run: Run, bundles: tuple[Path, Path], photos: Path) -> None:
    right, _ = bundles
    ended = run("evaluate", right, right, right, photos)
    document = json.loads(ended.out.splitlines()[-1])
    assert [row["difference"] for row in document["comparisons"]] == [0, 0]
    assert all(low < 0 < high for low, high in (c["interval"] for c in document["comparisons"]))


def test_what_a_log_gets(run: Run, bundles: tuple[Path, Path], photos: Path) -> None:
    """The test's standard error is no terminal, so it gets lines."""
    right, _ = bundles
    ended = run("evaluate", right, photos)
    first, *_, last = ended.err.splitlines()
    assert first.startswith(f"classifying with {right}: 10 photos in ")
    assert first.endswith(" photos/s")
    assert last.startswith("took ")
    assert last.endswith(" s")
