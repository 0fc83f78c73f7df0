"""The options of a training run, which are written into its folder and read back from there."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from app.settings import Device

DEFAULT_SCALE = 1.0
DEFAULT_SIZE = 224
# The number of the network's last segment, conv9, which `--freeze` can name.
LAST_SEGMENT = 19
SETTINGS = "settings.json"


class Options(BaseModel):
    """All options with defaults that suit most data sets; see `python -m app train --help`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scale: float = Field(DEFAULT_SCALE, ge=1 / 16, le=4)
    weights: str = "auto"
    size: int = Field(DEFAULT_SIZE, ge=32, le=1024, multiple_of=32)
    loss: Literal["ce", "poly1"] = "ce"
    epsilon: float = Field(1.0, gt=-1, le=100)
    smoothing: float = Field(0.1, ge=0, lt=1)
    class_weights: Literal["auto", "balanced", "none"] = "auto"
    epochs: int = Field(12, ge=0, le=10_000)
    minutes: float | None = Field(None, gt=0, le=100_000)
    refit: bool = False
    batch_size: int = Field(32, ge=1, le=4096)
    lr: float | None = Field(None, gt=0, le=10)
    weight_decay: float = Field(1e-4, ge=0, le=1)
    freeze: str = "auto"
    augment: bool = True
    min_area: float = Field(0.15, gt=0, le=1)
    ema: float = Field(0.98, ge=0, lt=1)
    patience: int = Field(10, ge=1, le=10_000)
    holdout: float = Field(0.2, gt=0, lt=1)
    seed: int = Field(0, ge=0, lt=2**31)
    broken: Literal["skip", "fail"] = "skip"
    amp: bool = False
    device: Device = "cpu"
    workers: int | None = Field(None, ge=0, le=256)
    max_pixels: int = Field(50_000_000, ge=1)

    @field_validator("freeze")
    @classmethod
    def _known_layers(cls, freeze: str) -> str:
        numbers = [str(number) for number in range(LAST_SEGMENT + 1)]
        if freeze not in ("auto", "none", "all", "backbone", *numbers):
            raise PydanticCustomError(
                "freeze", f"must be auto, none, all or a number from 0 to {LAST_SEGMENT}"
            )
        return freeze


class Recipe(BaseModel):
    """Everything besides the weights that is needed to build the run's network again.

    Attributes:
        options: the options of the run.
        classes: the names of the classes, in the order of the network's output.
        scale, padding: the arguments of `MobileNetV2`.
        pretrained: whether training began with pretrained weights instead of random ones.
        transform_ops: the preprocessing in PaddleClas's format.
        origin: the source of the first weights.
        srgb: whether photos with a colour profile are converted to sRGB; older runs did not.
        keeps_classifier: whether the first weights had the same classes, so that training began
            with their classifier and not with a random one.
        refit: whether the run learns from the held-out photos, too, so that its last epoch counts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    options: Options
    classes: tuple[str, ...]
    scale: float
    padding: Literal["symmetric", "bottom-right"]
    pretrained: bool
    transform_ops: list[dict[str, Any]]
    origin: dict[str, Any]
    srgb: bool = False
    keeps_classifier: bool = False
    refit: bool = False


def read_recipe(folder: Path) -> Recipe | None:
    """Return the recipe of the run in `folder`, or None if the folder has no readable recipe."""
    try:
        return Recipe.model_validate_json((folder / SETTINGS).read_bytes())
    except (OSError, ValidationError):
        return None
