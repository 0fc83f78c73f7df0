"""Clients that other people's tools generate from `/openapi.json`: they type-check and work.

`make contract` installs the pinned generators into `.venv-contract` and runs these tests.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import RunningServer

HERE = Path(__file__).parent
TOOLS = HERE.parents[1] / ".venv-contract"
CAT = HERE.parents[1] / "docs" / "cat.jpg"
KEY = "a-key-0123456789"
ANSWERS = ["2 tiger cat", "tiger cat", "tiger cat", "415 unsupported_image false", "ready"]
# The file `client.py` of every generated client passes on the arguments of `__exit__` untyped.
MYPY = """
[mypy]
strict = True
[mypy-photo_api.client]
ignore_errors = True
"""


@pytest.fixture(scope="module")
def server(
    default_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    log = tmp_path_factory.mktemp("server") / "log"
    with RunningServer(default_bundle, log, workers=1, api_keys=KEY) as server:
        yield server


@pytest.fixture
def document(server: RunningServer, tmp_path: Path) -> Path:
    path = tmp_path / "openapi.json"
    path.write_bytes(server.client.get("/openapi.json").content)
    return path


def run(folder: Path, *command: object) -> list[str]:
    """Run a command in a folder, and return the lines that it prints."""
    ended = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": f"{TOOLS}/bin:/usr/local/bin:/usr/bin:/bin", "HOME": str(folder)},
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout.splitlines()


def test_a_python_client_types_and_works(
    server: RunningServer, document: Path, tmp_path: Path
) -> None:
    package = ["--output-path", "photo_api", "--meta", "none"]
    run(tmp_path, "openapi-python-client", "generate", "--path", document, *package)
    program = tmp_path / "client.py"
    program.write_text((HERE / "client.py").read_text())
    (tmp_path / "mypy.ini").write_text(MYPY)
    run(tmp_path, "mypy", program)
    lines = run(tmp_path, "python", program, server.url, KEY, CAT)
    assert [line.lower() for line in lines] == [answer.lower() for answer in ANSWERS]


def test_a_typescript_client_types_and_works(
    server: RunningServer, document: Path, tmp_path: Path
) -> None:
    (tmp_path / "node_modules").symlink_to(TOOLS / "node_modules")
    for name in ("package.json", "client.ts"):
        (tmp_path / name).write_text((HERE / name).read_text())
    programs = tmp_path / "node_modules" / ".bin"
    run(tmp_path, programs / "openapi-typescript", document, "--output", "schema.ts")
    options = ["--strict", "--noUncheckedIndexedAccess", "--module", "nodenext"]
    run(tmp_path, programs / "tsc", *options, "--target", "es2022", "client.ts")
    assert run(tmp_path, "node", "client.js", server.url, KEY, CAT) == ANSWERS
