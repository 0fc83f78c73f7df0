"""The bodies of answers, as they stand in `/openapi.json`."""

from typing import Literal, Self

from pydantic import BaseModel, Field

from app.images.decoding import UploadedImage
from app.model.bundle import Bundle, Prediction
from app.serving.service import Readiness


class Model(BaseModel):
    """The bundle that answered."""

    name: str = Field(examples=["MobileNetV2_x1_0"])
    version: str = Field(description="First 12 hex digits of the parameters' SHA-256")

    @classmethod
    def of(cls, bundle: Bundle) -> Self:
        """Name the bundle."""
        return cls(name=bundle.name, version=bundle.version)


class Timings(BaseModel):
    """Milliseconds in each stage."""

    decode: float
    queue: float
    inference: float
    total: float


class Classification(BaseModel):
    """The answer to one photo."""

    model: Model
    predictions: list[Prediction] = Field(description="Highest score first")
    image: UploadedImage
    timings_ms: Timings


class Problem(BaseModel):
    """An error, RFC 9457; `application/problem+json`."""

    type: str = Field("about:blank")
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable, for programs", examples=["broken_image"])
    request_id: str


class Health(BaseModel):
    """The service at a glance."""

    status: Readiness
    model: Model
    classes: int
    engine: str
    device: str
    workers: int = Field(description="Workers that should be up")
    workers_up: int
    max_batch_size: int = Field(description="Photos in one batch at most")
    batch_ms: dict[int, float] = Field(
        description="Milliseconds a batch of each size takes; empty if the size is set"
    )
    in_flight: int = Field(description="Photos inside now")
    capacity: int = Field(description="Photos that may be inside now")
    in_flight_bytes: int = Field(description="Bytes of uploads inside now")
    capacity_bytes: int = Field(description="Bytes of uploads that may be inside")
    version: str = Field(description="Of the service")


class Reloaded(BaseModel):
    """What serves since a reload, and what did before."""

    before: Model
    model: Model


class Probe(BaseModel):
    """A probe's answer; the HTTP status says the same."""

    status: Readiness | Literal["alive", "hopeless"]
