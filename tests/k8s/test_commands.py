"""The kubectl commands that the pages show have options that this kubectl knows."""

import re
import shlex
import subprocess
from functools import cache

import pytest
from manifests import KUBECTL, ROOT

PAGES = [ROOT / "docs/operate.md", *sorted((ROOT / "docs/operate").glob("*.md"))]
# A command ends where the next one of its line begins.
END = re.compile(r" (?:&&|\|\|?|;|&)(?: |$)")


def commands() -> set[str]:
    """Return the kubectl commands of all pages, each on a line of its own."""
    text = "\n".join(page.read_text() for page in PAGES).replace("\\\n", " ")
    blocks = re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    blocks += re.findall(r"`(kubectl [^`]+)`", text)
    lines = [line.split(" # ")[0] for block in blocks for line in block.splitlines()]
    pieces = [piece for line in lines for piece in END.split(line)]
    found = [re.search(r"(?:^|\$\()kubectl (.+)", piece) for piece in pieces]
    return {one[1] for one in found if one}


@cache
def known(command: str) -> str:
    """Return what kubectl tells about a command and about the options of all commands."""
    texts = [
        subprocess.run([KUBECTL, *words], capture_output=True, text=True, check=True).stdout
        for words in ([*command.split(), "--help"], ["options"])
    ]
    return "\n".join(texts)


def words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:
        # The quotes go on in another command, as in `kubectl get ... | grep '...'`.
        return command.split()


def subcommand(given: list[str]) -> str:
    """Return the command itself, such as `rollout status`."""
    length = 3 if given[:2] == ["create", "secret"] else 2
    grouped = given[0] in {"config", "create", "rollout", "top"}
    return " ".join(given[: length if grouped else 1])


@pytest.mark.parametrize("command", sorted(commands()))
def test_kubectl_knows_the_command_and_its_options(command: str) -> None:
    given = words(command)
    if given[0].startswith("--"):
        # The namespace stands before the command.
        given = given[2:]
    told = known(subcommand(given))
    assert "Usage:" in told
    for word in given:
        if word.startswith("--"):
            name = word.split("=")[0]
            assert re.search(rf"^\s+(?:-\w, )?{name}=", told, re.MULTILINE), name


def test_the_pages_show_many_commands() -> None:
    assert len(commands()) > 30
