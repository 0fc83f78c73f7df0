"""A program with the client that openapi-python-client makes of the contract.

It prints the likeliest label, the labels of two photos, and the code of an error.

    python client.py URL KEY PHOTO
"""

import sys
from io import BytesIO
from pathlib import Path

from photo_api import AuthenticatedClient
from photo_api.api.health import health
from photo_api.api.predict import predict
from photo_api.models.classification import Classification
from photo_api.models.classifications import Classifications
from photo_api.models.health import Health
from photo_api.models.predict_files_body import PredictFilesBody
from photo_api.models.problem import Problem
from photo_api.models.problem_code import ProblemCode
from photo_api.types import File

url, key, path = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=key)


def photo() -> File:
    """Return the photo, unread."""
    return File(payload=Path(path).open("rb"), file_name="photo")


one = predict.sync(
    client=client, body=PredictFilesBody(file=photo()), top_k=2, x_deadline_ms=60_000
)
assert isinstance(one, Classification)
print(len(one.predictions), one.predictions[0].label)

several = predict.sync(client=client, body=PredictFilesBody(files=[photo(), photo()]))
assert isinstance(several, Classifications)
for result in several.results:
    assert result.predictions
    print(result.predictions[0].label)

wrong = predict.sync_detailed(client=client, body=File(payload=BytesIO(b"no photo")))
assert isinstance(wrong.parsed, Problem)
print(wrong.status_code.value, wrong.parsed.code.value, wrong.parsed.code is ProblemCode.OVERLOADED)

state = health.sync(client=client)
assert isinstance(state, Health)
print(state.status.value)
