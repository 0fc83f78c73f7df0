"""Bundles of a few bytes, and the tar files of strangers."""

import io
import tarfile
from pathlib import Path
from typing import Any

CONFIG = """\
Global: {model_name: tiny}
PreProcess:
  transform_ops:
    - ResizeImage: {resize_short: 256}
    - CropImage: {size: 224}
    - NormalizeImage:
    - ToCHWImage:
"""


def write_bundle(directory: Path, weights: bytes = b"weights") -> Path:
    """Write a bundle that `load_bundle` takes; its version follows from `weights`."""
    directory.mkdir(parents=True)
    (directory / "inference.json").write_bytes(b"{}")
    (directory / "inference.pdiparams").write_bytes(weights)
    (directory / "inference.yml").write_text(CONFIG, encoding="utf-8")
    return directory


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, **more: Any) -> tarfile.TarInfo:  # noqa: ANN401  (these are attributes of any type)
    """Return a member of a tar file."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    for key, value in more.items():
        setattr(info, key, value)
    return info


def write_tar(file: Path, *members: tarfile.TarInfo) -> Path:
    """Write a tar file of members whose content is zeros. No content of a link is written."""
    with tarfile.open(file, "w") as archive:
        for one in members:
            archive.addfile(one, io.BytesIO(bytes(one.size)) if one.isreg() else None)
    return file
