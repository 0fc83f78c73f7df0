"""The pinned origins of weights, read from `weights/sources.toml`."""

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from app.errors import StartupError

WEIGHTS = Path(__file__).parents[3] / "weights"
SOURCES = WEIGHTS / "sources.toml"
DEFAULT = "MobileNetV2_x1_0_keras"


class Source(BaseModel):
    """One origin: a file at a URL, or a member of a package's wheel.

    Attributes:
        what: for people.
        format: how the file is to be read; see `convert`.
        scale: the network's width multiplier.
        url: where the file is; else `requirement` and `member` name it in a wheel.
        sha256: of the file; None where it could not be recorded yet.
        top1, top5: the origin's own accuracy on the ImageNet-1k validation set.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    what: str
    format: Literal["keras", "paddleclas"]
    scale: float
    url: str | None = None
    requirement: str | None = None
    member: str | None = None
    version: str
    sha256: str | None = None
    licence: str
    top1: float
    top5: float

    def provenance(self, fetched_sha256: str) -> dict[str, Any]:
        """Return what a bundle records of its origin."""
        return {
            "source": self.what,
            "fetched": self.url or f"{self.requirement}: {self.member}",
            "fetched_sha256": fetched_sha256,
            "version": self.version,
            "licence": self.licence,
            "accuracy": {
                "top1": self.top1,
                "top5": self.top5,
                "dataset": "ImageNet-1k validation, as published by the origin",
            },
        }


def read_sources(path: Path = SOURCES) -> dict[str, Source]:
    """Read all origins by name.

    Raises:
        StartupError: the file is not of the documented form.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        return TypeAdapter(dict[str, Source]).validate_python(tables)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise StartupError(f"{path}: {place}: {first['msg']}") from error
    except (OSError, ValueError) as error:  # no TOML, or no text
        raise StartupError(f"{path}: {error}") from error
