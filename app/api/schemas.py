"""The bodies of answers, as `/openapi.json` documents them.

Two of the documented bodies are defined below the API: `Prediction` and `UploadedImage`.
"""

from typing import Literal, Self

from pydantic import BaseModel, Field

from app.errors import codes
from app.images.decoding import UploadedImage
from app.model.bundle import Bundle
from app.model.post_process import Prediction
from app.serving.service import Readiness


class Model(BaseModel):
    """The name and version of a model bundle."""

    name: str = Field(examples=["MobileNetV2_x1_0"])
    version: str = Field(description="First 12 hex digits of the SHA-256 of the parameters")

    @classmethod
    def of(cls, bundle: Bundle) -> Self:
        """Return the name and version of `bundle`."""
        return cls(name=bundle.name, version=bundle.version)


class Timings(BaseModel):
    """Milliseconds that the photo spends in each stage."""

    decode: float
    queue: float
    inference: float
    total: float


_UNFAMILIAR = "Whether the photo shows none of the model's classes; absent if the model cannot tell"
_UNFAMILIARITY = (
    "How far the photo is from all classes of the model; from 0.5 on it is called unfamiliar"
)


class Classification(BaseModel):
    """The answer to one photo."""

    model: Model
    predictions: list[Prediction] = Field(description="The highest score comes first")
    unfamiliar: bool | None = Field(None, description=_UNFAMILIAR)
    unfamiliarity: float | None = Field(None, ge=0, le=1, description=_UNFAMILIARITY)
    image: UploadedImage
    timings_ms: Timings


class Result(BaseModel):
    """What became of one of several photos: an answer, or an error of its own."""

    predictions: list[Prediction] | None = None
    unfamiliar: bool | None = None
    unfamiliarity: float | None = None
    image: UploadedImage | None = None
    timings_ms: Timings | None = None
    error: "Problem | None" = None


class Classifications(BaseModel):
    """The answers to several photos, in the order of the request."""

    model: Model
    results: list[Result]


class Explanation(BaseModel):
    """Where the network looked for one class."""

    model: Model
    class_id: int = Field(examples=[282])
    label: str = Field(examples=["tiger cat"])
    score: float = Field(description="Probability of the class")
    map: list[list[float]] = Field(
        description="How much each place of the network's crop adds to the logit of the class, row "
        "by row from the top. The mean of all numbers and `bias` together are the logit"
    )
    size: tuple[int, int] = Field(description="Rows and columns of the map", examples=[(7, 7)])
    bias: float = Field(description="What the classifier adds to the logit for every photo")
    image: UploadedImage
    timings_ms: Timings


class Embedding(BaseModel):
    """The vector that the classifier gets for a photo."""

    model: Model
    vector: list[float]
    image: UploadedImage
    timings_ms: Timings


class EmbeddingResult(BaseModel):
    """What became of one of several photos: a vector, or an error of its own."""

    vector: list[float] | None = None
    image: UploadedImage | None = None
    timings_ms: Timings | None = None
    error: "Problem | None" = None


class Embeddings(BaseModel):
    """The vectors of several photos, in the order of the request."""

    model: Model
    results: list[EmbeddingResult]


class Problem(BaseModel):
    """An error as RFC 9457 defines it, sent as `application/problem+json`."""

    type: str = Field("about:blank")
    title: str
    status: int
    detail: str
    code: str = Field(
        description="Stable name of the error, for programs",
        json_schema_extra={"enum": list(codes())},
    )
    request_id: str


class Input(BaseModel):
    """How the service cuts the network's input out of an upright photo. Sizes are in pixels."""

    resize_short: int | None = Field(
        description="Length of the short side after resizing; null if `resize` is given"
    )
    resize: tuple[int, int] | None = Field(
        description="Width and height after resizing without regard to the aspect ratio, or null"
    )
    crop: tuple[int, int] = Field(
        description="Width and height of what is then cut from the centre: the network's input"
    )

    @classmethod
    def of(cls, bundle: Bundle) -> Self:
        """Return the sizes of the preprocessing of `bundle`."""
        spec = bundle.preprocessing
        return cls(resize_short=spec.resize_short, resize=spec.resize, crop=spec.crop)


class Health(BaseModel):
    """A summary of the service's state."""

    status: Readiness
    model: Model
    input: Input
    classes: int
    vector_length: int | None = Field(
        description="Length of the vectors of `POST /embed`; null if the model has none"
    )
    engine: str
    device: str
    workers: int = Field(description="Number of workers that should be up")
    workers_up: int
    max_batch_size: int = Field(description="Largest number of photos in one batch, now")
    batch_ms: dict[int, float] = Field(
        description="Milliseconds that a batch of each size takes now: CPU time if a worker has "
        "one thread on CPU, otherwise elapsed time; empty if CLASSIFIER_MAX_BATCH_SIZE is set"
    )
    waiting: int = Field(description="Requests that wait at the door for their turn")
    in_flight: int = Field(description="Photos that the server is working on now")
    capacity: int = Field(description="Photos that the server may work on at once now")
    in_flight_bytes: int = Field(description="Bytes of uploads that the server holds now")
    capacity_bytes: int = Field(description="Bytes of uploads that the server may hold at once")
    version: str = Field(description="Version of the service")


class Reloaded(BaseModel):
    """The result of a reload: the model that answered before, and the model that answers now."""

    before: Model
    model: Model


class Probe(BaseModel):
    """The answer to a probe. The HTTP status gives the same information."""

    status: Readiness | Literal["alive", "hopeless"]
