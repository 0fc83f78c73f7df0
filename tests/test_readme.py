"""What the README says of settings, statuses and commands is what the code does."""

import re
from pathlib import Path

from app import errors
from app.settings import PREFIX, Settings
from app.training.data.dataset import SUFFIXES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def rows(header: str) -> set[tuple[str, ...]]:
    """Return the cells of the table that begins with `header`."""
    table = README.split(header + "\n", 1)[1].split("\n\n", 1)[0]
    return {tuple(re.split(r" *\| *", line)[1:-1]) for line in table.splitlines()[1:]}


def test_every_setting_is_listed_with_its_default() -> None:
    expected = {
        (
            f"`{PREFIX}{name.upper()}`",
            "" if field.default in {None, ()} else f"`{field.default}`",
            str(field.description),
        )
        for name, field in Settings.model_fields.items()
    }
    assert rows("| variable | default | meaning |") == expected


def test_every_error_is_listed_with_its_status() -> None:
    known = {
        (str(error.status), f"`{error.code}`", error.title)
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.ServiceError)
    }
    assert rows("| status | `code` | meaning |") == known


def test_every_make_target_it_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`?make ([a-z-]+)", README)) - {"and"}
    assert {"serve", "test", "lint"} <= named <= targets


def test_what_the_pages_link_to_exists() -> None:
    for page in (ROOT / "README.md", ROOT / "docs" / "train.md"):
        links = [
            link for link in re.findall(r"\]\(([^)]+)\)", page.read_text()) if "//" not in link
        ]
        assert links
        for link in links:
            assert (page.parent / link).stat().st_size < 150_000, f"{page.name}: {link}"


def test_the_suffixes_of_photos_are_listed() -> None:
    page = (ROOT / "docs" / "train.md").read_text()
    assert set(re.findall(r"`(\.[a-z]+)`", page)) == SUFFIXES
