"""Requests with several photos, and a reload in the middle of them: an answer is of one model."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import networks
import pytest
from fakes import FakePool
from fastapi import FastAPI
from posting import png
from speaking import as_tensor

from app.main import create_app
from app.model.bundle import Bundle, load_bundle
from app.settings import Settings

pytest_plugins = ["app_fixtures"]
pytestmark = pytest.mark.anyio

FILES = [("files", ("photo", png(1))), ("files", ("photo", png(2)))]


@pytest.fixture(scope="module")
def other_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("bundles") / "other"
    networks.export_small(directory, seed=1)
    return directory


async def answered(bundle: Bundle, other: Path, places: int, path: str, **body: Any) -> Any:  # noqa: ANN401
    """Return the answer to two photos; a reload comes when the first `places` of them are inside.

    With one place, both photos must be classified by the new model in the end.
    """
    old, new = FakePool(), FakePool()
    old.gate.clear()
    pools = [old, new]
    settings = Settings(
        model_dir=other, capacity=places, workers=1, longest_wait_s=3600, dialects="oip"
    )
    app = create_app(settings, bundle, lambda *_: pools.pop(0))
    async with app.router.lifespan_context(app), _client(app) as client:
        service = app.state.service
        answer = asyncio.create_task(client.post(path, **body))
        async with asyncio.timeout(60):
            await _until(lambda: service.admission.in_flight == places and old.batches)
            reload = asyncio.create_task(service.reload())
            await _until(lambda: service.bundle is not bundle)
            old.gate.set()
            response = await answer
            await reload
    assert response.status_code == 200, response.text
    assert {photo for batch in new.batches for photo in batch} == ({1, 2} if places == 1 else set())
    return response.json()


async def _until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110  (the service tells nobody)
        await asyncio.sleep(0.01)


def _client(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


async def test_no_further_workers_start_once_the_shutdown_has_begun(
    bundle: Bundle, other_bundle: Path
) -> None:
    old, new = FakePool(), FakePool()
    old.gate.clear()
    pools = [old, new]
    settings = Settings(model_dir=other_bundle, workers=2)
    app = create_app(settings, bundle, lambda *_: pools.pop(0))
    async with app.router.lifespan_context(app), _client(app) as client:
        service = app.state.service
        answer = asyncio.create_task(client.post("/predict", files=FILES[:1]))
        async with asyncio.timeout(60):
            await _until(lambda: old.batches)
            reload = asyncio.create_task(service.reload())
            await _until(lambda: service.bundle is not bundle)
            service.draining = True
            old.gate.set()
            await answer
            await reload
    assert new.up == 1


@pytest.mark.parametrize("path", ["/predict", "/embed"])
async def test_the_answer_names_the_model_that_has_given_it(
    bundle: Bundle, other_bundle: Path, path: str
) -> None:
    answer = await answered(bundle, other_bundle, 2, path, files=FILES)
    assert answer["model"]["version"] == bundle.version
    assert not any(result.get("error") for result in answer["results"])


@pytest.mark.parametrize("path", ["/predict", "/embed"])
async def test_if_two_models_have_answered_the_new_one_gets_all_photos(
    bundle: Bundle, other_bundle: Path, path: str
) -> None:
    answer = await answered(bundle, other_bundle, 1, path, files=FILES)
    assert answer["model"]["version"] == load_bundle(other_bundle).version
    assert not any(result.get("error") for result in answer["results"])


async def test_a_tensor_has_the_scores_of_one_model(bundle: Bundle, other_bundle: Path) -> None:
    headers, body = as_tensor(png(1), png(2))
    path = f"/v2/models/{bundle.name}/infer"
    answer = await answered(bundle, other_bundle, 1, path, headers=headers, content=body)
    assert answer["model_version"] == load_bundle(other_bundle).version
    assert answer["outputs"][0]["shape"] == [2, 3]
