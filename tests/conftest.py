"""The bundles that tests share. Treat them as read-only: copy one to change it."""

from pathlib import Path

import pytest

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
