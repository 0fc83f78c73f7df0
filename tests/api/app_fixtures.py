"""Fixtures: an app on a fake pool, and a client of that app."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import FakePool
from fastapi import FastAPI
from fastapi.testclient import TestClient
from posting import SETTINGS

from app.main import create_app
from app.model.bundle import Bundle, load_bundle


@pytest.fixture(scope="module")
def bundle(small_bundle: Path) -> Bundle:
    return load_bundle(small_bundle)


@pytest.fixture
def pool() -> FakePool:
    return FakePool()


@pytest.fixture
def app(bundle: Bundle, pool: FakePool) -> FastAPI:
    return create_app(SETTINGS, bundle, lambda *_: pool)


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client
