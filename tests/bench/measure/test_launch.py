"""The server that the load tool starts for itself."""

import asyncio
import io
from pathlib import Path

import pytest
from PIL import Image

from app.bench.load.client import Connections
from app.bench.measure.launch import running_server
from app.settings import read_settings


@pytest.mark.slow
def test_a_server_of_the_tools_own_asks_for_no_key(
    small_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLASSIFIER_API_KEYS", "a-key-of-sixteen-letters")
    monkeypatch.setenv("CLASSIFIER_KEY_CONCURRENCY", "1")
    monkeypatch.setenv("CLASSIFIER_WORKERS", "1")
    settings = read_settings(model_dir=small_bundle)
    photo = io.BytesIO()
    Image.new("RGB", (80, 70)).save(photo, "PNG")

    async def run() -> int:
        async with running_server(settings) as target:
            connections = Connections(target, 1)
            response = await connections.exchange(target.post_photo(photo.getvalue()))
            connections.close()
            return response.status

    assert asyncio.run(run()) == 200
