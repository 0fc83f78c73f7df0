"""The fixtures that all tests share: read-only bundles, and the command line.

A test that changes a bundle must copy it first.
"""

import gc
import os
import sys
from pathlib import Path

import pytest
from commands import Ended, Run

from app import cli

# Tests run side by side, one process a core. More threads than cores would wait for each other in
# busy loops, which made the whole suite slower than one test after the other.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

# The objects of Paddle and pytest stay to the end. With the usual thresholds the garbage collector
# would look through them so often that this took a fifth of the time of short tests.
gc.set_threshold(50_000, 20, 20)

DEFAULT_BUNDLE = Path(__file__).parents[1] / "weights" / "MobileNetV2_x1_0_keras"


@pytest.fixture(scope="session")
def small_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with 3 labels, crop 64 and randomised weights."""
    # This imports Paddle, which takes seconds, and most tests do not need it.
    import networks  # noqa: PLC0415

    directory = tmp_path_factory.mktemp("bundles") / "small"
    networks.export_small(directory)
    return directory


@pytest.fixture(scope="session")
def default_bundle() -> Path:
    """The default bundle with real weights, as `make weights` builds it."""
    if not (DEFAULT_BUNDLE / "inference.yml").is_file():
        pytest.fail(f"{DEFAULT_BUNDLE} is not built: run `make weights`")
    return DEFAULT_BUNDLE


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The event loop that the server uses."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """A function that runs `python -m app ...` in this process and returns what it printed."""

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["app", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Ended(int(ended.value.code or 0), *capsys.readouterr())

    # A terminal this wide does not wrap even a long path.
    monkeypatch.setenv("COLUMNS", "1000")
    return run
