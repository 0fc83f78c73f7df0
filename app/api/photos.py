"""Takes the photos out of a request's body: a form, JSON, or the photo itself."""

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from app.api.forms import MEDIA_TYPE as FORM
from app.api.forms import Part, parts_of
from app.api.parameters import QUERY_NAMES
from app.errors import EmptyFile, FileTooLarge, InvalidRequest, MalformedBody, MissingFile
from app.images.formats import is_image
from app.settings import Settings

JSON = "application/json"

# Millions of tiny values would take a hundred times the memory of the body. No photo needs as many;
# a client that sends the pixels of a small picture as numbers still learns what is wrong with that.
_MAX_JSON_VALUES = 200_000

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
    kind = media_type(content_type)
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
    return Photos([checked(body, settings)], several=False)


def json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a body, or an empty one if the body is other JSON.

    Raises:
        MalformedBody: the body is not JSON, or it has too many values.
    """
    if sum(map(body.count, (b",", b"[", b"{"))) > _MAX_JSON_VALUES:
        raise MalformedBody(f"The JSON has more than {_MAX_JSON_VALUES:,} values")
    try:
        given = json.loads(body)
    # A number of too many digits is a ValueError too, and deeply nested lists exceed the stack.
    except (ValueError, RecursionError):
        raise MalformedBody("The body is not well-formed JSON") from None
    return given if isinstance(given, dict) else {}


def is_form(content_type: str) -> bool:
    """Return whether a Content-Type is that of a form."""
    return media_type(content_type) == FORM


def media_type(content_type: str) -> str:
    """Return the type that a Content-Type names, without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def checked(data: bytes, settings: Settings) -> bytes:
    """Return the bytes of a photo.

    Raises:
        FileTooLarge: the photo has more bytes than one may have.
    """
    if len(data) > settings.max_upload_bytes:
        raise FileTooLarge(f"A photo may have at most {settings.max_upload_bytes:,} bytes")
    return data


def from_base64(given: Any) -> bytes:  # noqa: ANN401  (a value of JSON)
    """Return the bytes of a photo that a client has sent as base64, or as a data URL.

    Raises:
        InvalidRequest: the value is not base64.
    """
    if not isinstance(given, str):
        _refuse_base64()
    if _URL.match(given):
        raise InvalidRequest("The service fetches no URLs; send the photo itself, as base64")
    if start := _DATA_URL.match(given):
        given = given[start.end() :]
    try:
        # Many programs break base64 into lines.
        return base64.b64decode(given.replace("\r", "").replace("\n", ""), validate=True)
    except (binascii.Error, ValueError):
        _refuse_base64()


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
        raise MissingFile("The form has no field 'file'" + (f"; it has {names}" if names else ""))
    _check_count(len(many), settings)
    _refuse_parameters(part.name for part in parts)
    for part in (*one, *many):
        if not part.is_file and not is_image(part.content):
            raise MissingFile(
                f"The form's field '{part.name}' has no file name and is no image; send a file, as "
                "curl -F file=@photo.jpg does"
            )
    return _photos((part.content for part in one or many), bool(many), settings)


def _of_json(body: bytes, settings: Settings) -> Photos:
    fields = json_object(body)
    if "image" in fields and "images" in fields:
        raise InvalidRequest("The body has both 'image' and 'images'; send only one of them")
    if isinstance(fields.get("images"), list):
        images, several = fields["images"], True
        _check_count(len(images), settings)
    elif "image" in fields:
        images, several = [fields["image"]], False
    else:
        raise MissingFile("The JSON body has no 'image' with base64, and no list 'images' of such")
    _refuse_parameters(fields)
    return _photos(_from_json(images, several), several, settings)


def _from_json(images: Sequence[Any], several: bool) -> Iterator[bytes]:
    """Yield the bytes of each photo.

    Raises:
        InvalidRequest: a value is not base64; the message names its position.
    """
    for position, image in enumerate(images):
        try:
            yield from_base64(image)
        except InvalidRequest as error:
            where = f"images[{position}]" if several else "image"
            raise InvalidRequest(f"{where}: {error}") from None


def _refuse_parameters(names: Iterable[str]) -> None:
    """Refuse parameters in a body, because the service would ignore what the client wants."""
    for name in names:
        if name in QUERY_NAMES:
            raise InvalidRequest(
                f"'{name}' is in the body; it belongs in the query, as in ?{name}=..."
            )


def _photos(data: Iterable[bytes], several: bool, settings: Settings) -> Photos:
    photos = [checked(each, settings) for each in data]
    if not photos:
        raise MissingFile("The list of photos is empty")
    if photos == [b""] and not several:
        raise EmptyFile
    return Photos(photos, several)


def _check_count(count: int, settings: Settings) -> None:
    """Check the number of photos before any of them is read.

    Raises:
        InvalidRequest: there are too many.
    """
    if count > settings.max_photos:
        raise InvalidRequest(
            f"The request has {count} photos; at most {settings.max_photos} are allowed"
        )


def _refuse_base64() -> NoReturn:
    raise InvalidRequest("This is not a string of base64 with the alphabet that has + and /")
