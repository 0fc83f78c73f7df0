"""All that can be set, each by an environment variable: CLASSIFIER_ and the name in capitals."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.errors import StartupError
from app.host import granted_cores

PREFIX = "CLASSIFIER_"
# What a form puts around a file: boundaries, headers, a few small fields.
_FORM_BYTES = 64 * 1024

Device = Literal["cpu", "gpu"]
EngineName = Literal["paddle", "paddle-bfloat16", "onnxruntime"]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "json", "text"]
Count = Annotated[int, Field(ge=1, le=4096)]
Seconds = Annotated[float, Field(gt=0, le=3600)]
Pause = Annotated[float, Field(ge=0, le=3600)]
Key = Annotated[SecretStr, Field(min_length=16)]


def split_keys(keys: str | tuple[str, ...]) -> Sequence[str]:
    """Return the keys that a text has between commas and white space."""
    return keys.replace(",", " ").split() if isinstance(keys, str) else keys


class Settings(BaseSettings):
    """What an operator may set; the unit stands in the name, every bound is checked."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="forbid",
        protected_namespaces=(),
        hide_input_in_errors=True,  # it may be a key
    )

    model_dir: Path = Field(
        Path("weights/MobileNetV2_x1_0_keras"), description="The bundle that is served"
    )
    host: str = Field("127.0.0.1", description="Address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one")
    engine: EngineName = Field("paddle", description="What runs the network, with which arithmetic")
    device: Device = Field("cpu", description="Where the network runs")
    workers: Count | None = Field(
        None, description="Processes with a model each; by default one a core, one on GPU"
    )
    threads_per_worker: Count = Field(1, description="Threads of one inference on CPU")
    max_batch_size: Annotated[int, Field(ge=1, le=256)] | None = Field(
        None, description="Photos in one batch at most; by default measured at the start"
    )
    max_wait_ms: Annotated[float, Field(ge=0, le=10_000)] = Field(
        0, description="So long an idle worker waits for a batch to fill; less than the deadline"
    )
    batch_budget_s: Seconds = Field(
        0.15, description="When measuring, batches that would take longer are not tried"
    )
    decoders: Count | None = Field(
        None, description="Photos decoded at once; by default one a core"
    )
    capacity: Count | None = Field(
        None, description="Photos inside at once, by default 32 a worker, 256 on GPU; more get 429"
    )
    longest_wait_s: Seconds = Field(
        0.7,
        description="No more are let in than this time answers; half of the places stay open",
    )
    capacity_bytes: int = Field(
        100_000_000,
        ge=1_000,
        le=100_000_000_000,
        description="Bytes of uploads inside at once; more get 429",
    )
    max_upload_bytes: int = Field(
        10_000_000, ge=1_000, le=1_000_000_000, description="Largest upload; more gets 413"
    )
    upload_timeout_s: Seconds = Field(
        30, description="Time for an upload to arrive; slower gets 408"
    )
    max_pixels: int = Field(
        50_000_000, ge=1_000, le=1_000_000_000, description="Largest image; more gets 413"
    )
    deadline_s: Seconds = Field(10, description="Time for one answer; later gets 504")
    batch_timeout_s: Seconds = Field(5, description="A worker that takes longer is killed")
    recycle_after_batches: Annotated[int, Field(ge=1)] | None = Field(
        None, description="A worker that has answered so many is replaced"
    )
    recycle_above_bytes: Annotated[int, Field(ge=100_000_000)] | None = Field(
        None, description="A worker that holds more memory is replaced"
    )
    canary_interval_s: Seconds = Field(
        30, description="So often an idle worker is asked for its golden answers"
    )
    start_timeout_s: Seconds = Field(120, description="A worker must have loaded by then")
    drain_delay_s: Pause = Field(
        3, description="After SIGTERM: time not ready, still serving, before the port closes"
    )
    drain_timeout_s: Seconds = Field(20, description="Time for open requests to finish after that")
    api_keys: Annotated[tuple[Key, ...], NoDecode, BeforeValidator(split_keys)] = Field(
        (), description="Bearer tokens of `POST /predict`, by commas or spaces; empty lets all in"
    )
    admin_key: Key | None = Field(
        None, description="Bearer token of `POST /models/reload`; without it, 404"
    )
    log_level: LogLevel = Field("info", description="The least level that is logged")
    log_format: LogFormat = Field("auto", description="auto is text on a terminal, JSON elsewhere")
    traces: bool = Field(
        False, description="Send traces by OpenTelemetry; where to, say its own variables"
    )

    @model_validator(mode="after")
    def _largest_upload_finds_room(self) -> Self:
        if self.capacity_bytes < self.max_body_bytes:
            raise PydanticCustomError(
                "capacity_bytes",
                "CLASSIFIER_CAPACITY_BYTES must be at least {least}: CLASSIFIER_MAX_UPLOAD_BYTES "
                "and {form} for the form around it",
                {"least": self.max_body_bytes, "form": _FORM_BYTES},
            )
        return self

    @model_validator(mode="after")
    def _batch_starts_before_the_deadline(self) -> Self:
        if self.max_wait_ms >= self.deadline_s * 1000:
            raise PydanticCustomError(
                "max_wait_ms",
                "CLASSIFIER_MAX_WAIT_MS must be less than CLASSIFIER_DEADLINE_S: a photo that "
                "comes alone would never be answered",
            )
        return self

    @property
    def max_body_bytes(self) -> int:
        """How long a request's body may be: the largest upload and its form."""
        return self.max_upload_bytes + _FORM_BYTES

    @property
    def worker_count(self) -> int:
        """How many workers are really started."""
        return self.workers or (1 if self.device == "gpu" else granted_cores())

    @property
    def places(self) -> int:
        """How many photos may really be inside at once."""
        return self.capacity or self.worker_count * (256 if self.device == "gpu" else 32)

    @property
    def decoder_count(self) -> int:
        """How many photos are really decoded at once."""
        return self.decoders or granted_cores()


def read_settings(**overrides: Any) -> Settings:  # noqa: ANN401  (checked by the model)
    """Read the environment; what is None in `overrides` counts as not given.

    Raises:
        StartupError: an unknown key or a value out of bounds, in one line.
    """
    for key in os.environ:
        name = key.upper().removeprefix(PREFIX).lower()
        if key.upper().startswith(PREFIX) and name not in Settings.model_fields:
            raise StartupError(f"{key} is not a setting")
    try:
        return Settings(**{key: value for key, value in overrides.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = f"{PREFIX}{first['loc'][0]}: ".upper() if first["loc"] else ""  # of two together
        raise StartupError(name + first["msg"]) from error
