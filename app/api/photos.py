"""Takes the photos out of a request's body: a form, JSON, or the photo itself."""

import base64
import binascii
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from app.api.forms import MEDIA_TYPE as FORM
from app.api.forms import Part, parts_of
from app.errors import FileTooLarge, InvalidRequest, MalformedBody, MissingFile
from app.images.formats import is_image
from app.settings import Settings

JSON = "application/json"

# The types that say nothing about the content; no type at all says nothing either.
_UNSPECIFIC = {"", "application/octet-stream"}
_DATA_URL = re.compile(r"data:[^,]{0,200};base64,")
_URL = re.compile(r"[a-z][a-z0-9+.-]{0,20}://", re.IGNORECASE)


@dataclass(frozen=True)
class Photos:
    """The photos of one request, undecoded and unchecked.

    Attributes:
        data: the bytes of each photo.
        several: whether the client has asked for a list of answers.
    """

    data: Sequence[bytes]
    several: bool


def photos_of(body: bytes, content_type: str, settings: Settings) -> Photos:
    """Return the photos in a body.

    Args:
        body: the whole body.
        content_type: the header Content-Type of the request; empty if there is none.
        settings: the settings with the limits.

    Raises:
        ServiceError: the body has no photo, or more than one request may have.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == FORM:
        return _of_form(parts_of(body, content_type), settings)
    if kind == JSON:
        return _of_json(body, settings)
    # Some clients name another type, whatever they send: `curl --data-binary` does.
    if not body or not (kind.startswith("image/") or kind in _UNSPECIFIC or is_image(body)):
        raise MissingFile(
            "The request has no photo; send it as the body, in the field 'file' of a form, or as "
            "base64 in JSON's 'image'"
        )
    return Photos([_checked(body, settings)], several=False)


def _of_form(parts: Sequence[Part], settings: Settings) -> Photos:
    one = [part for part in parts if part.name == "file"]
    # Swagger UI sends an empty field for a list without items.
    many = [part for part in parts if part.name == "files" and (part.is_file or part.content)]
    if one and many:
        raise InvalidRequest("The form has both fields 'file' and 'files'; send only one of them")
    if len(one) > 1:
        raise InvalidRequest(
            f"The form has {len(one)} fields 'file'; send several photos in fields 'files'"
        )
    if not one and not many:
        names = ", ".join(f"'{part.name}'" for part in parts)
        raise MissingFile(f"The form has no field 'file'; it has {names}" if names else None)
    for part in (*one, *many):
        if not part.is_file and not is_image(part.content):
            raise MissingFile(
                f"The form's field '{part.name}' has no file name and is no image; send a file, as "
                "curl -F file=@photo.jpg does"
            )
    return _photos((part.content for part in one or many), bool(many), settings)


def _of_json(body: bytes, settings: Settings) -> Photos:
    try:
        given = json.loads(body)
    # A number of too many digits is a ValueError too, and deeply nested lists exceed the stack.
    except (ValueError, RecursionError):
        raise MalformedBody("The body is not well-formed JSON") from None
    fields = given if isinstance(given, dict) else {}
    if "image" in fields and "images" in fields:
        raise InvalidRequest("The body has both 'image' and 'images'; send only one of them")
    if isinstance(fields.get("images"), list):
        images, several = fields["images"], True
    elif "image" in fields:
        images, several = [fields["image"]], False
    else:
        raise MissingFile("The JSON body has no 'image' with base64, and no list 'images' of such")
    return _photos((_from_base64(image) for image in images), several, settings)


def _photos(data: Iterable[bytes], several: bool, settings: Settings) -> Photos:
    photos = [_checked(each, settings) for each in data]
    if not photos:
        raise MissingFile("The list of photos is empty")
    if len(photos) > settings.max_photos:
        raise InvalidRequest(
            f"The request has {len(photos)} photos; at most {settings.max_photos} are allowed"
        )
    return Photos(photos, several)


def _checked(data: bytes, settings: Settings) -> bytes:
    if len(data) > settings.max_upload_bytes:
        raise FileTooLarge(f"A photo may have at most {settings.max_upload_bytes:,} bytes")
    return data


def _from_base64(given: Any) -> bytes:  # noqa: ANN401  (a value of JSON)
    if not isinstance(given, str):
        _refuse_base64()
    if _URL.match(given):
        raise InvalidRequest("The service fetches no URLs; send the photo itself, as base64")
    if start := _DATA_URL.match(given):
        given = given[start.end() :]
    try:
        return base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError):
        _refuse_base64()


def _refuse_base64() -> NoReturn:
    raise InvalidRequest("An image is not a string of base64")
