"""The examples of docs/dialects.md, at a real server: each runs, and answers what is shown."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from calling import grpc_settings
from running import RunningServer
from speaking import ALL

SETTINGS = grpc_settings(dialects=f"{ALL},oip-grpc")
ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/dialects.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
PROGRAMS = [text for language, text in BLOCKS if language == "python"]
# A command may go on after a backslash or within quotes; its answer begins with a bracket.
COMMANDS = [
    found
    for language, text in BLOCKS
    if not language
    for found in re.findall(
        r"^\$ (curl .*?)\n([\[{].*?)(?=^\$ |\Z)", text, re.MULTILINE | re.DOTALL
    )
]


@pytest.fixture(scope="module")
def server(
    default_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    log = tmp_path_factory.mktemp("page") / "log"
    with RunningServer(default_bundle, log, **SETTINGS) as server:
        yield server


def here(text: str, server: RunningServer) -> str:
    """Return an example that asks the server of this test."""
    at_http = text.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}")
    return at_http.replace("127.0.0.1:8001", f"127.0.0.1:{SETTINGS['grpc_port']}")


def plain(answer: str) -> str:
    """Return an answer without white space, and with scores of two digits."""
    dense = re.sub(r"\s", "", answer)
    return re.sub(r"\d\.\d{4,}", lambda score: f"{float(score[0]):.2f}", dense)


def test_every_dialect_has_an_example() -> None:
    assert (len(COMMANDS), len(PROGRAMS)) == (5, 4)
    assert re.search(r"^CLASSIFIER_DIALECTS=(\S+) make serve$", PAGE, re.MULTILINE)[1] == ALL  # type: ignore[index]


@pytest.mark.parametrize(("command", "shown"), COMMANDS)
def test_a_command_gets_the_answer_that_is_shown(
    server: RunningServer, command: str, shown: str
) -> None:
    script = here(command, server).replace("curl ", "curl -sS ", 1)
    got = plain(subprocess.check_output(["bash", "-c", script], cwd=ROOT, text=True))
    for piece in plain(shown).split("..."):
        assert piece in got


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_sees_the_cat(server: RunningServer, program: str) -> None:
    command = [sys.executable, "-c", here(program, server)]
    printed = subprocess.check_output(command, cwd=ROOT, text=True)
    assert "tiger cat" in printed
    assert "Egyptian cat" in printed
