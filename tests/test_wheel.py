"""The wheel: it has all that serving needs, so it works where nothing of the repository is."""

import subprocess
import sys
from pathlib import Path

import pytest
from running import RunningServer

from app import __version__

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
HTML = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the wheel is installed. Its packages are those of this environment."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--target", folder, ROOT], timeout=300, check=True)
    return folder


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, installed: Path) -> Path:
    """An empty working directory, in which Python finds the installed code."""
    monkeypatch.setenv("PYTHONPATH", str(installed))
    monkeypatch.chdir(tmp_path)
    assert python("-c", "import app; print(app.__file__)").stdout.startswith(str(installed))
    return tmp_path


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def files(folder: Path) -> set[str]:
    found = {path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    return {str(path.relative_to(folder)) for path in found}


def test_it_has_every_file_of_the_code_and_nothing_else(installed: Path) -> None:
    assert files(installed / "app") == files(ROOT / "app")
    metadata = f"photo_classifier-{__version__}.dist-info"
    assert {path.name for path in installed.iterdir()} == {"app", metadata}


def test_it_serves_photos_and_the_page(elsewhere: Path, default_bundle: Path) -> None:
    with RunningServer(default_bundle, elsewhere / "log", workers=1) as server:
        answer = server.predict((ROOT / "docs" / "cat.jpg").read_bytes())
        assert answer.json()["predictions"][0]["label"] == "tiger cat"
        page = ROOT / "app" / "api" / "page" / "index.html"
        assert server.client.get("/", headers=HTML).text == page.read_text()
        assert "swagger-ui" in server.client.get("/docs").text


@pytest.mark.usefixtures("elsewhere")
def test_weights_are_built_in_a_clone() -> None:
    """The wheel has no list of origins, and says so in one line."""
    ended = python("-m", "app", "weights", "list")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("error: ")
    assert ended.stderr.endswith("sources.toml is missing; weights are built in a clone\n")
    assert ended.stderr.count("\n") == 1
