r"""The names of photos as a table shows them: valid text on one line, whatever the disk has.

A file's name may have bytes that are not UTF-8, or a line feed. The table has each such byte as
`\xff`, as the command line prints it, and a backslash that only looks like one as `\x5c`. So two
files never have the same name in the table, and the name leads back to the file.
"""

import os
import re

# Python reads a byte that is not UTF-8 as a character from U+DC80 to U+DCFF.
_SPECIAL = re.compile(r"[\x00-\x1f\x7f\udc80-\udcff]|\\(?=x[0-9a-f]{2})")
_ESCAPED = re.compile(rb"\\x([0-9a-f]{2})")


def shown(path: str) -> str:
    """Return the name in the table of a file at `path`, or of an object with this URL."""
    return _SPECIAL.sub(lambda found: f"\\x{ord(found[0]) & 0xFF:02x}", path)


def path_of(name: str) -> str:
    """Return the path or URL that `shown` has made the name of."""
    return os.fsdecode(_ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), name.encode()))
