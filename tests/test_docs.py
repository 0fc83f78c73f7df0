"""What the pages say of settings, statuses, endpoints and commands is what the code does."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from fakes import FakePool

from app import cli, errors
from app.images.files import SUFFIXES
from app.main import create_app
from app.model.bundle import load_bundle
from app.model.engine import Engine
from app.model.offline import FilePrediction, predict
from app.settings import PREFIX, Settings

ROOT = Path(__file__).parents[1]
README, CONTRIBUTING = ROOT / "README.md", ROOT / "CONTRIBUTING.md"
DOCS = ROOT / "docs"
FOLDERS = (ROOT, DOCS, DOCS / "operate", ROOT / "weights")
PAGES = sorted(page for folder in FOLDERS for page in folder.glob("*.md"))


def rows(page: Path, header: str) -> list[tuple[str, ...]]:
    """Return the cells of all tables of a page that begin with `header`, in their order."""
    tables = [text.split("\n\n", 1)[0] for text in page.read_text().split(header + "\n")[1:]]
    lines = [line for table in tables for line in table.splitlines()[1:]]
    return [tuple(re.split(r" *\| *", line)[1:-1]) for line in lines]


def setting_rows() -> Iterator[tuple[str, str, str, str]]:
    """Yield each setting's row of the table: its variable, default, allowed values, meaning."""
    schemas = Settings.model_json_schema()["properties"]
    for name, field in Settings.model_fields.items():
        value = str(field.default).lower() if isinstance(field.default, bool) else field.default
        default = "" if value in {None, ()} else f"`{value}`"
        variable = f"`{PREFIX}{name.upper()}`"
        yield variable, default, allowed(schemas[name]), str(field.description)


def allowed(schema: dict[str, Any]) -> str:
    """Return the values that a setting's JSON schema allows, in words; empty if any text is."""
    schema = next((one for one in schema.get("anyOf", ()) if one["type"] != "null"), schema)
    schema = schema.get("items", schema)
    match schema:
        case {"enum": values}:
            return ", ".join(f"`{value}`" for value in values)
        case {"type": "boolean"}:
            return "`true`, `false`"
        case {"minimum": least, "maximum": most}:
            return f"{least:.0f} to {most:.0f}"
        case {"exclusiveMinimum": least, "maximum": most}:
            return f"above {least:.0f}, at most {most:.0f}"
        case {"minimum": least}:
            return f"at least {least:.0f}"
    return ""


def test_every_setting_is_listed_with_its_default() -> None:
    shown = rows(DOCS / "settings.md", "| variable | default | allowed | meaning |")
    missing = [f"| {' | '.join(row)} |" for row in setting_rows() if row not in shown]
    assert missing == []
    assert len(shown) == len(Settings.model_fields)


def test_every_error_is_listed_with_its_status() -> None:
    known = [
        (str(error.status), f"`{error.code}`", error.title)
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.ServiceError)
    ]
    assert sorted(rows(DOCS / "http.md", "| status | `code` | meaning |")) == sorted(known)


def test_every_endpoint_is_listed(default_bundle: Path) -> None:
    app = create_app(Settings(), load_bundle(default_bundle), lambda *_: FakePool())
    paths = app.openapi()["paths"].items()
    documented = {f"`{method.upper()} {path}`" for path, methods in paths for method in methods}
    pages = {"`GET /docs`", "`GET /openapi.json`"}
    assert len(documented) > 5
    listed = [row[0] for row in rows(DOCS / "http.md", "| endpoint | answer |")]
    assert sorted(listed) == sorted(documented | pages)


@pytest.mark.parametrize("page", [README, DOCS / "http.md"], ids=lambda page: page.name)
def test_the_cat_gets_the_answer_that_is_shown(default_bundle: Path, page: Path) -> None:
    bundle, text = load_bundle(default_bundle), page.read_text()
    shown = re.findall(r'"class_id": (\d+), "label": "(.+?)", "score": ([\d.]+)', text)
    (answer,) = predict([DOCS / "cat.jpg"], bundle, Engine(bundle), len(shown), 10**6)
    assert isinstance(answer, FilePrediction)
    best = [(str(one.class_id), one.label) for one in answer.predictions]
    assert best == [(class_id, label) for class_id, label, _ in shown]
    scores = [one.score for one in answer.predictions]
    assert [float(score) for *_, score in shown] == pytest.approx(scores, abs=0.01)
    image = answer.image
    assert f'"width": {image.width}, "height": {image.height}, "format": "{image.format}"' in text


def code() -> str:
    """Return the lines and words of all pages that are set as code."""
    text = "\n".join(page.read_text() for page in PAGES).replace("\\\n", " ")
    found = re.findall(r"^```\w*\n(.*?)^```|`([^`\n]+)`", text, re.MULTILINE | re.DOTALL)
    return "\n".join(block or span for block, span in found)


def make_targets(pattern: str) -> set[str]:
    return set(re.findall(pattern, (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_every_make_target_it_names_exists() -> None:
    named = set(re.findall(r"(?:^|&& |=\S+ )make ([a-z-]+)", code(), re.MULTILINE))
    assert {"serve", "test", "lint"} <= named <= make_targets(r"^([a-z-]+):")


def test_contributing_lists_every_make_target() -> None:
    listed = [row[0] for row in rows(CONTRIBUTING, "| target | what it does |")]
    assert sorted(listed) == sorted(f"`make {name}`" for name in make_targets(r"^([a-z-]+):.*## "))


def commands() -> set[str]:
    """Return what follows `python -m app` in the pages' code, without comments."""
    found = re.findall(r"bin/python -m app( .+)", code())
    return {command.split(" # ")[0].strip() for command in found if "..." not in command}


@pytest.mark.parametrize("text", sorted(commands()))
def test_every_command_shown_is_understood(text: str) -> None:
    """No command is run, so its files need not exist."""
    command: Any = typer.main.get_command(cli.app)
    words = shlex.split(text)
    while words and not words[0].startswith("-") and hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    if not hasattr(command, "commands"):
        command.make_context(text, words)


def test_every_file_it_names_exists() -> None:
    """The reader writes the files of NAME and of the example "flowers"."""
    folders = r"app|tests|docs|k8s|release|requirements|peers|clients|\.ci"
    names = set(re.findall(rf"(?:^| )((?:{folders})/[\w./-]*\w)", code(), re.MULTILINE))
    ours = {name for name in names if "NAME" not in name and "flowers" not in name}
    assert len(ours) > 30
    assert {name for name in ours if not (ROOT / name).exists()} == set()


def anchors(page: Path) -> set[str]:
    """Return the links that GitHub makes of a page's headings."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_the_pages_link_to_exists(page: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", page.read_text()) if "//" not in link]
    assert links or page not in {README, CONTRIBUTING, DOCS / "train.md"}
    for link in links:
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.is_dir() or target.stat().st_size < 150_000, link
        assert not anchor or anchor in anchors(target), link


def linked(page: Path) -> set[Path]:
    """Return the files to which a page leads."""
    links = re.findall(r"\]\(([^)#]+)", page.read_text())
    return {(page.parent / link).resolve() for link in links}


def test_readme_leads_to_every_page() -> None:
    assert {CONTRIBUTING, ROOT / "SECURITY.md", *DOCS.glob("*.md")} <= linked(README)


def test_the_operators_index_leads_to_every_page_of_theirs() -> None:
    pages = set((DOCS / "operate").glob("*.md"))
    assert len(pages) > 5
    assert pages <= linked(DOCS / "operate.md")


def test_the_suffixes_of_photos_are_listed() -> None:
    page = (DOCS / "train.md").read_text()
    assert set(re.findall(r"`(\.[a-z]+)`", page)) == SUFFIXES


@pytest.mark.parametrize("room", sorted((ROOT / "app").glob("*/__init__.py")), ids=str)
def test_readme_prints_the_sentence_of_every_room(room: Path) -> None:
    docstring = ast.get_docstring(ast.parse(room.read_text())) or ""
    sentence = docstring.splitlines()[0]
    assert re.search(rf"\b{room.parent.name}/\W+{re.escape(sentence)}", README.read_text())


def test_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) < 150
