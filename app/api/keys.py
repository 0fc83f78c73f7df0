"""Bearer tokens: an API key permits sending photos, the admin key permits changing the model."""

import secrets
from collections.abc import Iterable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import SecretStr

from app.api.dependencies import ServiceDep
from app.errors import NotFound, Unauthorized
from app.serving.shares import key_name
from app.settings import Settings

_Credentials = HTTPAuthorizationCredentials | None

# auto_error=False, because this module itself refuses a request, with a 401 as problem+json.
# The two schemes are declared so that Swagger UI shows its Authorize button.
API_KEY = HTTPBearer(
    auto_error=False, scheme_name="ApiKey", description="One of the keys in CLASSIFIER_API_KEYS"
)
_admin = HTTPBearer(
    auto_error=False, scheme_name="AdminKey", description="The key in CLASSIFIER_ADMIN_KEY"
)


async def check_api_key(request: Request, settings: Settings) -> None:
    """Check that the request carries one of the API keys, and note which one for the metrics.

    Without API keys, allow every request.

    Raises:
        Unauthorized: the key is missing, or it is not one of the API keys.
    """
    if settings.api_keys:
        if not (name := _name_given(await API_KEY(request), settings.api_keys)):
            raise Unauthorized
        request.state.key = name


async def admin_key(service: ServiceDep, given: Annotated[_Credentials, Depends(_admin)]) -> None:
    """Check that the request carries the admin key.

    Raises:
        NotFound: the settings have no admin key.
        Unauthorized: the key is missing, or it is not the admin key.
    """
    if service.settings.admin_key is None:
        raise NotFound
    if not _name_given(given, (service.settings.admin_key,)):
        raise Unauthorized("This path needs the admin key as a bearer token")


def name_of(token: bytes, keys: Iterable[SecretStr]) -> str:
    """Return the name of a token in the metrics if it is one of the keys, otherwise nothing.

    The time that this takes tells nothing about the keys.
    """
    if any(secrets.compare_digest(token, key.get_secret_value().encode()) for key in keys):
        return key_name(token)
    return ""


def _name_given(given: _Credentials, keys: Iterable[SecretStr]) -> str:
    """Return the name of the token in a request if it is one of the keys, otherwise nothing."""
    # Starlette decodes a header as Latin-1, so this restores the bytes that the client has sent.
    token = given.credentials.encode("latin-1") if given else b""
    return name_of(token, keys)
