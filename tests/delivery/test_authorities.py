"""Whom a download trusts where Python finds no authorities of the system."""

import ssl
from types import SimpleNamespace

import pytest

from app.delivery import download


def test_without_authorities_of_the_system_certifis_are_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    none = SimpleNamespace(cafile=None, capath=None)
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: none)
    assert len(download._authorities().get_ca_certs()) > 50
