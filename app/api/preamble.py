"""Drops what stands before the first boundary of a form, which python-multipart does not.

RFC 2046, section 5.1.1, allows a preamble there, and spaces or tabs behind the boundary.
python-multipart 0.0.34 reads both correctly everywhere else: after the first boundary it accepts
the spaces, and after the last one any text.
"""

import re
from collections.abc import AsyncGenerator

from python_multipart.multipart import parse_options_header

from app.errors import MalformedBody

_MAX_PADDING_BYTES = 256


def boundary_of(content_type: str) -> bytes | None:
    """Return the boundary that the header Content-Type of a form names, or None."""
    return parse_options_header(content_type)[1].get(b"boundary")


async def without_preamble(
    pieces: AsyncGenerator[bytes, None], boundary: bytes
) -> AsyncGenerator[bytes, None]:
    """Yield a form's bytes from its first boundary on, without white space behind that boundary.

    Raises:
        MalformedBody: the body has bytes, but none of its lines is the boundary.
    """
    line = b"\r\n--" + boundary
    first = re.compile(re.escape(line) + rb"(?:[ \t]*(\r\n)|(--))")
    # A boundary stands at the beginning of a line, and so does the beginning of the body.
    kept = b"\r\n"
    begun = False
    async for piece in pieces:
        if begun:
            yield piece
            continue
        kept += piece
        if found := first.search(kept):
            begun = True
            yield line[2:] + (found[1] or found[2]) + kept[found.end() :]
        # The rest may be the beginning of the boundary.
        kept = kept[-len(line) - _MAX_PADDING_BYTES :]
    if not begun and kept != b"\r\n":
        raise MalformedBody
