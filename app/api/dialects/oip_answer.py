"""Answers of the Open Inference Protocol: one tensor, as JSON or as binary data."""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from fastapi import Response
from pydantic_core import to_json

from app.api.dialects.oip_request import JSON_LENGTH, OUTPUT, Question
from app.serving.service import Classified

# What a client reads from the tensor: scores, or texts of the form `score:index:label`.
Values = npt.NDArray[Any]


def answer(question: Question, photos: Sequence[Classified]) -> Response:
    """Return the answer to a question: the scores, or the likeliest classes, of each photo."""
    datatype, values = values_of(question, photos)
    tensor: dict[str, Any] = {"name": OUTPUT, "datatype": datatype, "shape": values.shape}
    bundle = photos[0].bundle
    fields: dict[str, Any] = {"model_name": bundle.name, "model_version": bundle.version}
    if question.id is not None:
        fields["id"] = question.id
    fields["outputs"] = [tensor]
    if not question.binary:
        tensor["data"] = values.ravel().tolist()
        # pydantic's JSON takes a tenth of the standard library's time for thousands of scores.
        return Response(to_json(fields), media_type="application/json")
    binary = packed(values)
    tensor["parameters"] = {"binary_data_size": len(binary)}
    head = to_json(fields)
    headers = {JSON_LENGTH: str(len(head))}
    return Response(head + binary, headers=headers, media_type="application/octet-stream")


def values_of(question: Question, photos: Sequence[Classified]) -> tuple[str, Values]:
    """Return the datatype and the values of the tensor that answers a question."""
    if question.classification:
        return "BYTES", _classes(photos, question.classification)
    return "FP32", np.stack([photo.scores for photo in photos])


def packed(values: Values) -> bytes:
    """Return the values as binary data. Before each text stands its length."""
    if values.dtype != object:
        return values.astype("<f4").tobytes()
    elements = [text.encode() for text in values.ravel()]
    return b"".join(struct.pack("<I", len(each)) + each for each in elements)


def _classes(photos: Sequence[Classified], count: int) -> Values:
    """Return the likeliest classes: as many for each photo, whatever their thresholds are."""
    texts = [
        [
            f"{each.score:f}:{each.class_id}:{each.label}"
            for each in photo.bundle.post_process.best(photo.scores, count)
        ]
        for photo in photos
    ]
    return np.array(texts, dtype=object)
