"""The model that a path names: this service has only one."""

from fastapi import Request

from app.errors import NotFound
from app.model.bundle import Bundle


def check_model(request: Request, bundle: Bundle) -> None:
    """Check that the path of a request names this model, and its version if it names one.

    Raises:
        NotFound: the path names another model or another version.
    """
    check_name(request.path_params["model"], request.path_params.get("version"), bundle)


def check_name(name: str, version: str | None, bundle: Bundle) -> None:
    """Check that a request names this model, and its version if it names one.

    Raises:
        NotFound: the request names another model or another version.
    """
    if name != bundle.name:
        raise NotFound(f"There is no model {name[:100]!r}; this service has {bundle.name!r}")
    if version not in (None, bundle.version):
        raise NotFound(
            f"There is no version {version[:100]!r} of {name!r}; this service has "
            f"{bundle.version!r}"
        )
