"""The messages of the Open Inference Protocol over gRPC, in protobuf's wire format.

The numbers are those of the fields in the protocol's `open_inference_grpc.proto`. A request becomes
the fields and the binary data that it would have over REST, so that both have the same rules.
"""

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from app.api.dialects.oip_answer import packed as as_binary
from app.api.dialects.oip_answer import values_of
from app.api.dialects.oip_request import OUTPUT, Question
from app.errors import InvalidRequest, MalformedBody
from app.model.wire import Message, field, numbers, packed, parsed, texts
from app.serving.service import Classified

# No well-formed request has as many values in one of its messages, or in one of its parameters.
_MOST, _MOST_OF_PARAMETER = 512, 8
# The numbers of fields that requests have.
_PARAMETERS, _INPUTS, _OUTPUTS, _RAW = 4, 5, 6, 7
_SHAPE, _TENSOR_PARAMETERS, _CONTENTS, _BYTES = 3, 4, 5, 8
_OUTPUT_PARAMETERS = 2
_BOOL, _INT64, _STRING, _UINT64 = 1, 2, 3, 5

Read = TypeVar("Read")


@dataclass(frozen=True)
class Inference:
    """A request for an inference.

    Attributes:
        model: the name of the model.
        version: the version of the model; empty if the client names none.
        fields: the fields that the request would have in JSON.
        binary: the binary data that would follow the JSON.
    """

    model: str
    version: str
    fields: Mapping[str, Any]
    binary: bytes


def inference_of(message: bytes) -> Inference:
    """Return what a `ModelInferRequest` says.

    Raises:
        ServiceError: the message is malformed.
    """
    return _read(_inference, message)


def model_of(message: bytes) -> tuple[str, str]:
    """Return the name and the version in a `ModelReadyRequest` or a `ModelMetadataRequest`.

    Raises:
        MalformedBody: the message is malformed.
    """
    return _read(lambda request: (_text(request, 1), _text(request, 2)), message)


def answer(question: Question, photos: Sequence[Classified]) -> bytes:
    """Return the `ModelInferResponse` to a question: scores or likeliest classes of each photo."""
    datatype, values = values_of(question, photos)
    bundle = photos[0].bundle
    return b"".join(
        (
            field(1, bundle.name),
            field(2, bundle.version),
            field(3, question.id or ""),
            field(5, tensor(OUTPUT, datatype, values.shape)),
            field(6, as_binary(values)),
        )
    )


def tensor(name: str, datatype: str, shape: Iterable[int]) -> bytes:
    """Return the description of a tensor, as answers have it."""
    return field(1, name) + field(2, datatype) + packed(3, shape)


def _read(read: Callable[[Message], Read], message: bytes) -> Read:
    try:
        return read(parsed(message, _MOST))
    except ValueError:
        raise MalformedBody("The message is not a well-formed message of this method") from None


def _inference(request: Message) -> Inference:
    inputs = [parsed(each, _MOST) for each in _several(request, _INPUTS)]
    outputs = [parsed(each, _MOST) for each in _several(request, _OUTPUTS)]
    binary = _binary(request, inputs[0]) if inputs else b""
    fields = {
        "id": _text(request, 3) or None,
        "inputs": [
            {
                "name": _text(each, 1),
                "datatype": _text(each, 2),
                "shape": numbers(each, _SHAPE, _MOST),
                "parameters": {"binary_data_size": len(binary)},
            }
            for each in inputs
        ],
        "outputs": [
            {"name": _text(each, 1), "parameters": _parameters(each, _OUTPUT_PARAMETERS)}
            for each in outputs
        ],
    }
    return Inference(_text(request, 1), _text(request, 2), fields, binary)


def _several(request: Message, number: int) -> Sequence[bytes]:
    """Return the messages in a field of which no request may have many.

    Raises:
        InvalidRequest: there is more than one.
    """
    found = [value for value in request.get(number, ()) if isinstance(value, bytes)]
    if len(found) > 1:
        raise InvalidRequest("The request must have one input, and one output or none")
    return found


def _binary(request: Message, given: Message) -> bytes:
    """Return the elements of the input, each behind its length, as Triton's clients send them."""
    raw = [value for value in request.get(_RAW, ()) if isinstance(value, bytes)]
    if raw:
        if len(raw) > 1 or _CONTENTS in given:
            raise InvalidRequest("The photos must be in raw_input_contents[0] or in the input")
        return raw[0]
    photos = [
        photo
        for contents in given.get(_CONTENTS, ())
        if isinstance(contents, bytes)
        for photo in parsed(contents, _MOST).get(_BYTES, ())
        if isinstance(photo, bytes)
    ]
    return b"".join(struct.pack("<I", len(photo)) + photo for photo in photos)


def _parameters(message: Message, number: int) -> Mapping[str, Any]:
    """Return the parameters of an output: each is a name, and a value of one of four types."""
    entries = (value for value in message.get(number, ()) if isinstance(value, bytes))
    return dict(_parameter(parsed(entry, _MOST_OF_PARAMETER)) for entry in entries)


def _parameter(entry: Message) -> tuple[str, bool | int | str | None]:
    values = [value for value in entry.get(2, ()) if isinstance(value, bytes)]
    value = parsed(values[-1], _MOST_OF_PARAMETER) if values else {}
    if _BOOL in value:
        return _text(entry, 1), bool(value[_BOOL][-1])
    for kind in (_INT64, _UINT64):
        if found := numbers(value, kind, 1):
            return _text(entry, 1), found[0]
    return _text(entry, 1), _text(value, _STRING) or None


def _text(message: Message, number: int) -> str:
    """Return the last text in a field; empty if there is none."""
    return (texts(message, number) or [""])[-1]
