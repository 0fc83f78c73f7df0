"""Reads the body of an upload, and limits its bytes and its time."""

import asyncio

from fastapi import Request
from starlette.requests import ClientDisconnect

from app.errors import ClientClosed, FileTooLarge, MalformedBody, UploadTimeout
from app.serving.admission import Upload
from app.settings import Settings


def check_announced(request: Request, settings: Settings) -> None:
    """Check what the headers say about the body.

    Raises:
        FileTooLarge: the announced length is above the limit.
        MalformedBody: the body is compressed.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > settings.max_body_bytes:
        raise _too_large(settings)
    codings = request.headers.getlist("content-encoding")
    if any(coding.lower() != "identity" for coding in codings):
        raise MalformedBody("The body is compressed; send it without Content-Encoding")


async def read_body(request: Request, settings: Settings, upload: Upload) -> bytes:
    """Return the whole body.

    Args:
        request: the request; its body is unread.
        settings: the settings with the limits.
        upload: counts the bytes of the body, and may end the upload if it is slow.

    Raises:
        ServiceError: the body is too large or too slow, or the client has closed the connection.
    """
    pieces: list[bytes] = []
    try:
        async with asyncio.timeout(settings.upload_timeout_s) as upload.timeout:
            async for piece in request.stream():
                upload.add(len(piece))
                if upload.size > settings.max_body_bytes:
                    raise _too_large(settings)
                pieces.append(piece)
    except TimeoutError:
        raise UploadTimeout from None
    except ClientDisconnect:
        raise ClientClosed from None
    finally:
        upload.timeout = None
    return b"".join(pieces)


def _too_large(settings: Settings) -> FileTooLarge:
    return FileTooLarge(
        f"The body has too many bytes; a photo may have {settings.max_upload_bytes:,}, and a body "
        f"with several photos {settings.max_body_bytes:,}"
    )
