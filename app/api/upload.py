"""The photo in a multipart form, bounded in bytes and in time while its body arrives."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable, Sequence

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from app.errors import (
    ClientClosed,
    EmptyFile,
    FileTooLarge,
    InvalidRequest,
    MalformedBody,
    MissingFile,
    UploadTimeout,
)
from app.settings import Settings

_MAX_PARTS = 16


class _InMemory(MultiPartParser):
    """Starlette's parser without a file on disk: the body's size is bounded anyway.

    Nor does it take the form's `charset`: Python has codecs that take minutes for a megabyte of
    nonsense, in the event loop, and such as raise what nobody expects.
    """

    spool_max_size = sys.maxsize
    _charset = property(lambda _: "utf-8", lambda *_: None)


def announced_bytes(request: Request, settings: Settings) -> int:
    """Return the body's length as announced, 0 where it is not.

    Raises:
        FileTooLarge: it is more than may be uploaded.
    """
    announced = request.headers.get("content-length", "")
    size = int(announced) if announced.isdecimal() else 0
    if size > settings.max_body_bytes:
        raise FileTooLarge
    return size


async def read_photo(request: Request, settings: Settings, count: Callable[[int], None]) -> bytes:
    """Read the body and return the bytes of its field `file`; `count` is told of each piece.

    Raises:
        ServiceError: the form is malformed, too large, too slow, or without a file.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise MissingFile("The body is no multipart/form-data; send the photo in its field 'file'")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise MalformedBody("The body is compressed; send it without Content-Encoding")
    most = settings.max_body_bytes
    pieces = _bounded(request, most, count)
    parser = _InMemory(
        request.headers,
        pieces,
        max_files=_MAX_PARTS,
        max_fields=_MAX_PARTS,
        max_part_size=most,
    )
    try:
        async with asyncio.timeout(settings.upload_timeout_s):
            form = await parser.parse()
    except TimeoutError:
        raise UploadTimeout from None
    except MultiPartException:
        raise MalformedBody from None
    except ClientDisconnect:
        raise ClientClosed from None
    try:
        return await _file(form.getlist("file"), settings.max_upload_bytes)
    finally:
        await form.close()


async def _file(fields: Sequence[UploadFile | str], most: int) -> bytes:
    if len(fields) > 1:
        raise InvalidRequest(f"The form has {len(fields)} fields 'file'; send one photo a request")
    field = fields[0] if fields else None
    if isinstance(field, str):
        raise MissingFile(
            "The form's field 'file' has no file name: send it as curl -F file=@photo.jpg does"
        )
    if field is None:
        raise MissingFile
    if not field.size:
        raise EmptyFile
    if field.size > most:
        raise FileTooLarge
    return await field.read()


async def _bounded(
    request: Request, most: int, count: Callable[[int], None]
) -> AsyncGenerator[bytes, None]:
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > most:
            raise FileTooLarge
        count(len(piece))
        yield piece
