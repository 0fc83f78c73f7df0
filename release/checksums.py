"""The file SHA256SUMS, which `sha256sum --check` reads."""

import hashlib
from pathlib import Path

NAME = "SHA256SUMS"


def write(folder: Path) -> None:
    """Write the checksums of all other files in the folder."""
    files = sorted(path for path in folder.iterdir() if path.name != NAME)
    lines = [f"{checksum(path)}  {path.name}\n" for path in files]
    (folder / NAME).write_text("".join(lines))


def checksum(file: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
