"""All settings. Each is an environment variable: CLASSIFIER_ and the name in capital letters."""

import difflib
import os
import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.errors import StartupError
from app.host import granted_cores

PREFIX = "CLASSIFIER_"
# A multipart form adds boundaries, headers and a few small fields to the file.
_FORM_BYTES = 64 * 1024
_SEVERAL = 3
_MIN_KEY_LENGTH = 16
# Browsers write origins in small letters and without a path.
_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^\s/?#@A-Z]+")

Device = Literal["cpu", "gpu"]
EngineName = Literal[
    "paddle", "paddle-bfloat16", "onnxruntime", "onnxruntime-int8", "openvino", "openvino-int8"
]
Int8Engine = Literal["onnxruntime-int8", "openvino-int8"]
# The engines that compute in float32, the quickest first, and the file of the bundle that each one
# needs beside Paddle's own.
FLOAT32: dict[EngineName, str] = {
    "openvino": "inference.xml",
    "onnxruntime": "inference.onnx",
    "paddle": "",
}
LogLevel = Literal["debug", "info", "warning", "error"]
Dialect = Literal["huggingface", "oip", "oip-grpc", "paddlex", "torchserve"]
LogFormat = Literal["auto", "json", "text"]
Count = Annotated[int, Field(ge=1, le=4096)]
Seconds = Annotated[float, Field(gt=0, le=3600)]
Pause = Annotated[float, Field(ge=0, le=3600)]


def _checked_key(key: SecretStr) -> SecretStr:
    if len(key.get_secret_value()) < _MIN_KEY_LENGTH:
        raise PydanticCustomError(
            "key_too_short",
            "a key must have at least {least} characters",
            {"least": _MIN_KEY_LENGTH},
        )
    return key


Key = Annotated[SecretStr, AfterValidator(_checked_key)]


def split_words(words: str | tuple[str, ...]) -> Sequence[str]:
    """Return the words of a text, which commas or white space separate."""
    return words.replace(",", " ").split() if isinstance(words, str) else words


def _checked_origin(origin: str) -> str:
    if not _ORIGIN.fullmatch(origin):
        raise PydanticCustomError(
            "no_origin",
            "an origin is a scheme, a host in small letters and perhaps a port, such as "
            "https://photos.example, or it is * for all",
        )
    return origin


Origin = Annotated[str, AfterValidator(_checked_origin)]


# A field of this kind takes "auto" as well, in place of a name.
_Choosable = WithJsonSchema({"type": "string", "enum": ["auto", *get_args(EngineName)]})


class Settings(BaseSettings):
    """The settings of the service. Names end with the unit, and every value is checked."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="forbid",
        protected_namespaces=(),
        # The input of a wrong setting may be a key.
        hide_input_in_errors=True,
    )

    model_dir: Path = Field(
        Path("weights/MobileNetV2_x1_0_keras"),
        description="Directory of the model bundle to serve",
    )
    host: str = Field("127.0.0.1", description="Address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 chooses a free port")
    device: Device = Field("cpu", description="Device that runs the network: cpu or gpu")
    engine: Annotated[EngineName, _Choosable] = Field(
        "paddle",
        description="Library that runs the network, and its arithmetic; auto takes the first of "
        "openvino, onnxruntime and paddle that is installed and whose file the bundle has",
    )
    workers: Count | None = Field(
        None,
        description="Processes that each run a model; by default one for each core, on GPU one",
    )
    threads_per_worker: Count = Field(1, description="Threads that each worker uses on CPU")
    max_batch_size: Annotated[int, Field(ge=1, le=256)] | None = Field(
        None, description="Largest batch, in photos; by default the service learns the best size"
    )
    max_wait_ms: Annotated[float, Field(ge=0, le=10_000)] = Field(
        0,
        description="How long an idle worker waits for a batch to fill; "
        "must be shorter than CLASSIFIER_DEADLINE_S",
    )
    batch_budget_s: Seconds = Field(
        0.15,
        description="Longest batch that the service tries; larger batches are not chosen",
    )
    decoders: Count | None = Field(
        None, description="Photos to decode at the same time; by default one for each core"
    )
    capacity: Count | None = Field(
        None,
        description="Photos inside at the same time at most, fewer while answers take longer; more "
        "wait at the door; by default 32 for each worker, on GPU 256",
    )
    longest_wait_s: Seconds = Field(
        0.7,
        description="Let a request in only if it can be answered within this time; it waits for "
        "its turn, and gets 429 when the time is over",
    )
    capacity_bytes: int = Field(
        100_000_000,
        ge=1_000,
        le=100_000_000_000,
        description="Bytes of all uploads in memory at the same time; more get 429",
    )
    max_upload_bytes: int = Field(
        10_000_000,
        ge=1_000,
        le=1_000_000_000,
        description="Largest photo, in bytes; a larger one gets 413; several photos in one request "
        "may have three times as many",
    )
    max_photos: Annotated[int, Field(ge=1, le=256)] = Field(
        32, description="Photos that one request may have"
    )
    upload_timeout_s: Seconds = Field(
        30, description="Time for an upload to arrive; a slower one gets 408"
    )
    max_pixels: int = Field(
        50_000_000,
        ge=1_000,
        le=1_000_000_000,
        description="Largest image, in pixels; a larger one gets 413",
    )
    decode_timeout_s: Seconds = Field(
        3,
        description="CPU seconds for decoding one image; an image that needs more gets 422, "
        "and its decoder is replaced",
    )
    deadline_s: Seconds = Field(
        10, description="Time for an answer after the upload; a later one becomes 504"
    )
    batch_timeout_s: Seconds = Field(
        5, description="Time for one batch; a worker that takes longer is killed and replaced"
    )
    recycle_after_batches: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Replace a worker after this number of batches; by default never"
    )
    recycle_above_bytes: Annotated[int, Field(ge=100_000_000)] | None = Field(
        None, description="Replace a worker that holds more memory than this; by default never"
    )
    canary_interval_s: Seconds = Field(
        30, description="How often an idle worker is asked for the bundle's golden answers"
    )
    start_timeout_s: Seconds = Field(
        120, description="Time for a new worker to load the model; a slower one is killed"
    )
    drain_delay_s: Pause = Field(
        3,
        description="After SIGTERM, how long the service is not ready but still answers, "
        "before the port closes",
    )
    drain_timeout_s: Seconds = Field(
        20, description="After the port has closed, the time for open requests to finish"
    )
    api_keys: Annotated[tuple[Key, ...], NoDecode, BeforeValidator(split_words)] = Field(
        (),
        description="Keys of all paths that take photos, separated by commas or spaces, each of "
        "at least 16 characters; without keys, everyone may send photos",
    )
    key_photos_per_s: Annotated[float, Field(gt=0, le=100_000)] | None = Field(
        None,
        description="Photos that each API key may send in a second, to each pod; more wait, and "
        "get 429; by default no limit",
    )
    key_burst: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        None,
        description="Photos that an API key may send at once after a pause; by default as many as "
        "it may send in a second",
    )
    key_concurrency: Count | None = Field(
        None,
        description="Photos that each API key may have inside at the same time, on each pod; more "
        "wait, and get 429; by default no limit",
    )
    dialects: Annotated[tuple[Dialect, ...], NoDecode, BeforeValidator(split_words)] = Field(
        (),
        description="Protocols of other servers to speak as well, separated by commas or spaces; "
        "without one, the service speaks only its own",
    )
    grpc_port: int = Field(
        8001,
        ge=0,
        le=65535,
        description="Port of the dialect oip-grpc, on the same address; 0 chooses a free port",
    )
    paddlex_image: bool = Field(
        False,
        description="Answer clients of PaddleX with a picture too: what the network saw of the "
        "photo, with the answer drawn on it",
    )
    admin_key: Key | None = Field(
        None, description="Key of `POST /models/reload`; without a key, this path gives 404"
    )
    cors_origins: Annotated[tuple[Origin, ...], NoDecode, BeforeValidator(split_words)] = Field(
        (),
        description="Web pages that may use the service from a browser: origins, separated by "
        "commas or spaces, or * for all; by default only the service's own page",
    )
    log_level: LogLevel = Field("info", description="Lowest level that is logged")
    log_format: LogFormat = Field(
        "auto", description="Format of the log: json, text, or auto (text on a terminal, else json)"
    )
    traces: bool = Field(
        False, description="Send traces by OpenTelemetry, to the address in its OTEL_ variables"
    )

    @field_validator("engine", mode="before")
    @classmethod
    def _quickest(cls, engine: object, others: ValidationInfo) -> object:
        """Choose an engine if none is named. On a GPU, only Paddle runs."""
        directory = others.data.get("model_dir")
        if engine != "auto":
            return engine
        if others.data.get("device") == "cpu" and directory:
            for name, file in FLOAT32.items():
                if file and find_spec(name) and (directory / file).is_file():
                    return name
        return "paddle"

    @model_validator(mode="after")
    def _largest_upload_fits(self) -> Self:
        least = self.max_upload_bytes + _FORM_BYTES
        if self.capacity_bytes < least:
            raise PydanticCustomError(
                "capacity_bytes",
                "CLASSIFIER_CAPACITY_BYTES must be at least {least}: CLASSIFIER_MAX_UPLOAD_BYTES "
                "and {form} for the form around it",
                {"least": least, "form": _FORM_BYTES},
            )
        return self

    @model_validator(mode="after")
    def _batch_wait_ends_before_the_deadline(self) -> Self:
        if self.max_wait_ms >= self.deadline_s * 1000:
            raise PydanticCustomError(
                "max_wait_ms",
                "CLASSIFIER_MAX_WAIT_MS must be less than CLASSIFIER_DEADLINE_S: otherwise a photo "
                "that comes alone is never answered",
            )
        return self

    @model_validator(mode="after")
    def _limits_by_key_have_keys(self) -> Self:
        if self.limits_keys and not self.api_keys:
            raise PydanticCustomError(
                "limits_without_keys",
                "CLASSIFIER_KEY_PHOTOS_PER_S and CLASSIFIER_KEY_CONCURRENCY limit each of the keys "
                "in CLASSIFIER_API_KEYS, which has none",
            )
        if self.key_burst and not self.key_photos_per_s:
            raise PydanticCustomError(
                "burst_without_rate",
                "CLASSIFIER_KEY_BURST needs CLASSIFIER_KEY_PHOTOS_PER_S, which it extends",
            )
        return self

    @property
    def limits_keys(self) -> bool:
        """Whether API keys have limits."""
        return bool(self.key_photos_per_s or self.key_concurrency)

    @property
    def burst(self) -> int:
        """The number of photos that an API key may send at once after a pause."""
        return self.key_burst or max(1, int(self.key_photos_per_s or 0))

    @property
    def max_body_bytes(self) -> int:
        """The largest body of a request, in bytes.

        Several photos may have as many bytes as three of the largest, if the capacity allows that.
        """
        several = min(_SEVERAL * self.max_upload_bytes, self.capacity_bytes)
        return max(several, self.max_upload_bytes + _FORM_BYTES)

    @property
    def slots(self) -> int:
        """Photos that the shared memory has room for.

        A photo that nobody waits for any more keeps its slot until its decoder or its batch has
        ended, so there are more slots than photos that may be in flight.
        """
        return 2 * self.places

    @property
    def worker_count(self) -> int:
        """The number of workers that the service starts."""
        return self.workers or (1 if self.device == "gpu" else granted_cores())

    @property
    def places(self) -> int:
        """The number of permits: how many photos are admitted at the same time."""
        return self.capacity or self.worker_count * (256 if self.device == "gpu" else 32)

    @property
    def decoder_count(self) -> int:
        """The number of photos that are decoded at the same time."""
        return self.decoders or granted_cores()


def read_settings(**overrides: Any) -> Settings:  # noqa: ANN401  (checked by the model)
    """Return the settings of the environment, replaced by those `overrides` that are not None.

    Raises:
        StartupError: a variable is unknown or its value is out of bounds. The message is one line.
    """
    for key in os.environ:
        name = key.upper().removeprefix(PREFIX).lower()
        if key.upper().startswith(PREFIX) and name not in Settings.model_fields:
            raise StartupError(f"{key} is not a setting; {_remedy(name)}")
    try:
        return Settings(**{key: value for key, value in overrides.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        # A check of two settings together names both in its message.
        name = f"{PREFIX}{first['loc'][0]}: ".upper() if first["loc"] else ""
        raise StartupError(name + first["msg"]) from error


def _remedy(name: str) -> str:
    """Return what to do about a setting that does not exist: often its name has a typing error."""
    if similar := difflib.get_close_matches(name, Settings.model_fields, n=1):
        return f"did you mean {PREFIX}{similar[0].upper()}?"
    return "docs/settings.md lists all settings"
