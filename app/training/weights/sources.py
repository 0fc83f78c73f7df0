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
    """One origin of weights: a file at a URL, or a file in a package's wheel.

    Attributes:
        what: a short description for the user.
        format: the format of the file: Keras's `.h5` or PaddleClas's `.pdparams`.
        scale: the network's width multiplier.
        url: the file's URL; None if the file comes from a wheel.
        requirement: the package and its version; None if the file comes from a URL.
        member: the file's path in the wheel.
        version: the origin's own name for this version of the weights.
        sha256: the SHA-256 of the file; None if it is not recorded yet.
        licence: the licence of the weights.
        top1, top5: the accuracy that the origin publishes for the ImageNet-1k validation set.
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
        """Return what a bundle records about this origin."""
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
    """Return all origins by name.

    Raises:
        StartupError: the file cannot be read, or its contents do not have the documented form.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        return TypeAdapter(dict[str, Source]).validate_python(tables)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise StartupError(f"{path}: {key}: {first['msg']}") from error
    # An installed wheel has no such file.
    except FileNotFoundError as error:
        raise StartupError(f"{path} is missing; weights are built in a clone") from error
    # A ValueError means that the file is not TOML or not UTF-8.
    except (OSError, ValueError) as error:
        raise StartupError(f"{path}: {error}") from error
