"""What a request of the Open Inference Protocol asks: its tensors as JSON or as binary data."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.api.photos import checked, from_base64, json_object
from app.errors import InvalidRequest, MissingFile
from app.settings import Settings

# The header with the length of the JSON, where binary data follow it.
JSON_LENGTH = "Inference-Header-Content-Length"
INPUT, OUTPUT = "image", "scores"

_LENGTH = re.compile(r"[0-9]{1,12}")
# Before each element of binary BYTES stands its length.
_LENGTH_BYTES = 4


@dataclass(frozen=True)
class Question:
    """What a client asks.

    Attributes:
        id: the client's own name of the request, or None.
        photos: the bytes of each photo.
        classification: how many classes to name for each photo; 0 asks for the scores of all.
        binary: whether the answer's tensor comes as binary data.
    """

    id: str | None
    photos: Sequence[bytes]
    classification: int
    binary: bool


def divided(body: bytes, json_length: str | None) -> tuple[Mapping[str, Any], bytes]:
    """Return the fields of the JSON in a body, and the binary data that follow it.

    Args:
        body: the whole body.
        json_length: the value of the header `JSON_LENGTH`; None if the body is JSON alone.

    Raises:
        ServiceError: the body is malformed.
    """
    end = _json_end(body, json_length)
    return json_object(body[:end]), body[end:]


def question_of(fields: Mapping[str, Any], binary: bytes, settings: Settings) -> Question:
    """Return what a request asks.

    Args:
        fields: the fields of the request, as they are in JSON.
        binary: the binary data of its input; empty if the input has its photos as base64.
        settings: the settings with the limits.

    Raises:
        ServiceError: the request is malformed, or a photo is too large, or there are too many.
    """
    tensor = _only(fields.get("inputs"), INPUT, "input")
    photos = _photos(tensor, binary, settings.max_photos)
    parameters = _parameters(fields)
    outputs = fields.get("outputs")
    output = _parameters(_only(outputs, OUTPUT, "output")) if outputs else {}
    name = fields.get("id")
    return Question(
        # Half of a surrogate pair may stand in JSON, but no text can have it.
        id=name.encode(errors="replace").decode() if isinstance(name, str) else None,
        photos=[checked(photo, settings) for photo in photos],
        classification=_whole(output, "classification"),
        binary=bool(output.get("binary_data", parameters.get("binary_data_output", False))),
    )


def _json_end(body: bytes, json_length: str | None) -> int:
    if json_length is None:
        return len(body)
    if not _LENGTH.fullmatch(json_length) or int(json_length) > len(body):
        raise InvalidRequest(f"{JSON_LENGTH} is not the length of the JSON in the body")
    return int(json_length)


def _only(tensors: object, name: str, role: str) -> Mapping[str, Any]:
    """Return the one tensor that a request may have in this role."""
    if isinstance(tensors, list) and len(tensors) == 1:
        (tensor,) = tensors
        if isinstance(tensor, dict) and tensor.get("name") == name:
            return tensor
    raise InvalidRequest(f"The request must have exactly one {role}, with the name {name!r}")


def _parameters(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters = fields.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise InvalidRequest("'parameters' is not an object")
    return parameters


def _whole(parameters: Mapping[str, Any], name: str) -> int:
    match parameters.get(name, 0):
        case int(number) if number >= 0:
            return number
    raise InvalidRequest(f"'{name}' must be a whole number from 0 on")


def _photos(tensor: Mapping[str, Any], binary: bytes, most: int) -> Sequence[bytes]:
    """Return the photos in a tensor."""
    if tensor.get("datatype") != "BYTES":
        raise InvalidRequest(
            f"The input {INPUT!r} must have the datatype BYTES: each element is a photo as a file, "
            "such as JPEG. The service takes no raw pixels"
        )
    match tensor.get("shape"):
        case [int(count)] | [int(count), 1] if 1 <= count <= most:
            pass
        case _:
            raise InvalidRequest(
                f"The input {INPUT!r} must have the shape [N] or [N, 1], with N from 1 to {most}"
            )
    size = _whole(_parameters(tensor), "binary_data_size")
    if size != len(binary):
        raise InvalidRequest(f"{size} bytes of binary data are announced, {len(binary)} have come")
    elements = list(_elements(binary, most)) if binary else _flat(tensor.get("data"))
    if len(elements) != count:
        raise InvalidRequest(f"The shape says {count} photos, but the data are {len(elements)}")
    return elements if binary else [from_base64(element) for element in elements]


def _elements(binary: bytes, most: int) -> Iterator[bytes]:
    """Yield the elements of binary BYTES, and at most one more than there may be."""
    position = 0
    for _ in range(most + 1):
        if position == len(binary):
            return
        start = position + _LENGTH_BYTES
        position = start + int.from_bytes(binary[start - _LENGTH_BYTES : start], "little")
        if position > len(binary):
            raise InvalidRequest("The binary data end before their last element")
        yield binary[start:position]


def _flat(data: object) -> list[Any]:
    """Return the elements of a JSON tensor. With the shape [N, 1], each row may be a list."""
    if not isinstance(data, list) or not data:
        raise MissingFile(f"The input {INPUT!r} has neither 'data' nor binary data")
    return [row[0] if isinstance(row, list) and len(row) == 1 else row for row in data]
