"""One photo in each dialect: how a client sends it, and what the client reads in the answer."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

ALL = "huggingface,oip,paddlex,torchserve"


@dataclass(frozen=True)
class Speaker:
    """A client of a dialect.

    Attributes:
        dialect: the dialect's name.
        path: where the client sends a photo, with a place for the model's name.
        wrap: returns the headers and the body of a request with a photo.
        best: returns the label of the likeliest class in an answer.
        error: returns the words of an error.
        fields: the names in an error, in their order.
    """

    dialect: str
    path: str
    wrap: Callable[[bytes], tuple[dict[str, str], bytes]]
    best: Callable[[Any], str]
    error: Callable[[Any], str]
    fields: tuple[str, ...]

    def __str__(self) -> str:
        return self.dialect

    def send(self, client: Any, model: str, photo: bytes, **headers: str) -> Any:  # noqa: ANN401
        """Send a photo with `client`, and return the response."""
        own, body = self.wrap(photo)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return client.post(self.path.format(model=model), content=body, headers=own | names)


def in_base64(photo: bytes) -> str:
    return base64.b64encode(photo).decode()


def as_json(**fields: object) -> tuple[dict[str, str], bytes]:
    return {"Content-Type": "application/json"}, json.dumps(fields).encode()


def as_tensor(*photos: bytes, **fields: object) -> tuple[dict[str, str], bytes]:
    """Return a request of the Open Inference Protocol with binary data."""
    data = b"".join(len(photo).to_bytes(4, "little") + photo for photo in photos)
    tensor = {
        "name": "image",
        "shape": [len(photos)],
        "datatype": "BYTES",
        "parameters": {"binary_data_size": len(data)},
    }
    head = json.dumps({"inputs": [tensor], **fields}).encode()
    return {"Inference-Header-Content-Length": str(len(head))}, head + data


def classes(count: int, **parameters: object) -> list[dict[str, object]]:
    """Return the outputs of the Open Inference Protocol that name the likeliest classes."""
    return [{"name": "scores", "parameters": {"classification": count, **parameters}}]


SPEAKERS = (
    Speaker(
        "huggingface",
        "/huggingface",
        lambda photo: ({"Content-Type": "image/jpeg"}, photo),
        lambda answer: str(answer[0]["label"]),
        lambda error: str(error["error"]),
        ("error",),
    ),
    Speaker(
        "oip",
        "/v2/models/{model}/infer",
        lambda photo: as_tensor(photo, outputs=classes(1)),
        lambda answer: str(answer["outputs"][0]["data"][0].split(":", 2)[2]),
        lambda error: str(error["error"]),
        ("error",),
    ),
    Speaker(
        "paddlex",
        "/image-classification",
        lambda photo: as_json(image=in_base64(photo)),
        lambda answer: str(answer["result"]["categories"][0]["name"]),
        lambda error: str(error["errorMsg"]),
        ("logId", "errorCode", "errorMsg"),
    ),
    Speaker(
        "torchserve",
        "/predictions/{model}",
        lambda photo: ({}, photo),
        lambda answer: str(next(iter(answer))),
        lambda error: str(error["message"]),
        ("code", "type", "message"),
    ),
)
