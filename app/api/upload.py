"""Reads the photo from a multipart form, and limits the bytes and the time of the upload."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Sequence

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from app.api.preamble import boundary_of, without_preamble
from app.errors import (
    ClientClosed,
    EmptyFile,
    FileTooLarge,
    InvalidRequest,
    MalformedBody,
    MissingFile,
    UploadTimeout,
)
from app.serving.admission import Upload
from app.settings import Settings

_MAX_PARTS = 16


class _InMemory(MultiPartParser):
    """Starlette's parser, but with files in memory, because the body's size is limited anyway.

    The parser ignores the form's `charset` and decodes all text as UTF-8. Some of Python's codecs
    block the event loop for minutes on a megabyte of nonsense, and others raise exceptions that
    Starlette does not expect.
    """

    spool_max_size = sys.maxsize
    _charset = property(lambda _: "utf-8", lambda *_: None)


def check_announced(request: Request, settings: Settings) -> None:
    """Check the length that the client announces for the body, if it announces one.

    Raises:
        FileTooLarge: the announced length is above the limit.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > settings.max_body_bytes:
        raise FileTooLarge


async def read_photo(request: Request, settings: Settings, upload: Upload) -> bytes:
    """Read the body and return the bytes of the file in its field `file`.

    Args:
        request: the request; its body is unread.
        settings: the settings with the limits.
        upload: counts the bytes of the body, and may end the upload if it is slow.

    Raises:
        ServiceError: the body is not a form with one file, it is too large or too slow, or the
            client has closed the connection.
    """
    content_type = request.headers.get("content-type", "")
    if not content_type.lower().startswith("multipart/form-data"):
        raise MissingFile(
            "The request has no multipart/form-data body; send the photo in its field 'file'"
        )
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise MalformedBody("The body is compressed; send it without Content-Encoding")
    max_bytes = settings.max_body_bytes
    pieces = _limited(request, max_bytes, upload)
    if boundary := boundary_of(content_type):
        pieces = without_preamble(pieces, boundary)
    parser = _InMemory(
        request.headers,
        pieces,
        max_files=_MAX_PARTS,
        max_fields=_MAX_PARTS,
        max_part_size=max_bytes,
    )
    try:
        async with asyncio.timeout(settings.upload_timeout_s) as upload.timeout:
            form = await parser.parse()
    except TimeoutError:
        raise UploadTimeout from None
    except MultiPartException:
        raise MalformedBody from None
    except ClientDisconnect:
        raise ClientClosed from None
    finally:
        upload.timeout = None
    try:
        return await _file(form.getlist("file"), settings.max_upload_bytes)
    finally:
        await form.close()


async def _file(fields: Sequence[UploadFile | str], max_bytes: int) -> bytes:
    if len(fields) > 1:
        raise InvalidRequest(
            f"The form has {len(fields)} fields 'file'; send one photo in each request"
        )
    field = fields[0] if fields else None
    if isinstance(field, str):
        raise MissingFile(
            "The form's field 'file' has no file name; add one, as curl -F file=@photo.jpg does"
        )
    if field is None:
        raise MissingFile
    if not field.size:
        raise EmptyFile
    if field.size > max_bytes:
        raise FileTooLarge
    return await field.read()


async def _limited(request: Request, max_bytes: int, upload: Upload) -> AsyncGenerator[bytes, None]:
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > max_bytes:
            raise FileTooLarge
        upload.add(len(piece))
        yield piece
