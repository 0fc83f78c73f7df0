"""Keys as bearer tokens: one of the API's to send photos, the admin's to change the model."""

import secrets
from collections.abc import Iterable
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import SecretStr

from app.api.dependencies import ServiceDep
from app.errors import NotFound, Unauthorized

_Credentials = HTTPAuthorizationCredentials | None

# They refuse nobody themselves: here a refusal is a problem, and Swagger UI gets its button.
_api = HTTPBearer(
    auto_error=False, scheme_name="ApiKey", description="One of CLASSIFIER_API_KEYS, if it is set"
)
_admin = HTTPBearer(auto_error=False, scheme_name="AdminKey", description="CLASSIFIER_ADMIN_KEY")


async def api_key(service: ServiceDep, given: Annotated[_Credentials, Depends(_api)]) -> None:
    """Let pass whoever brings one of the API's keys, and everyone where there are none.

    Raises:
        Unauthorized: it is none of them, or missing.
    """
    if service.settings.api_keys:
        _check(given, service.settings.api_keys)


async def admin_key(service: ServiceDep, given: Annotated[_Credentials, Depends(_admin)]) -> None:
    """Let pass whoever brings the admin's key.

    Raises:
        NotFound: the settings have none.
        Unauthorized: it is another, or missing.
    """
    if service.settings.admin_key is None:
        raise NotFound
    _check(given, (service.settings.admin_key,))


def _check(given: _Credentials, keys: Iterable[SecretStr]) -> None:
    token = given.credentials.encode("latin-1") if given else b""  # as it came over the wire
    if not any(secrets.compare_digest(token, key.get_secret_value().encode()) for key in keys):
        raise Unauthorized
