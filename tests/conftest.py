"""The bundles that tests share, read-only (copy one to change it), and the command line."""

import sys
from pathlib import Path

import pytest
from commands import Ended, Run

from app import cli

DEFAULT_BUNDLE = Path(__file__).parents[1] / "weights" / "MobileNetV2_x1_0_keras"


@pytest.fixture(scope="session")
def small_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with 3 labels, crop 64 and randomised weights."""
    import networks  # noqa: PLC0415  (with Paddle, which costs seconds that most tests need not)

    directory = tmp_path_factory.mktemp("bundles") / "small"
    networks.export_small(directory)
    return directory


@pytest.fixture(scope="session")
def default_bundle() -> Path:
    """The real one, as `make weights` builds it."""
    if not (DEFAULT_BUNDLE / "inference.yml").is_file():
        pytest.fail(f"{DEFAULT_BUNDLE} is not built: run `make weights`")
    return DEFAULT_BUNDLE


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The loop that the server runs on."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `python -m app ...` in this process."""

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["app", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Ended(int(ended.value.code or 0), *capsys.readouterr())

    monkeypatch.setenv("COLUMNS", "1000")  # no path is cut, however long
    return run
