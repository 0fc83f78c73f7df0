"""LitServe: two processes that decode and classify what waits, up to four at a time."""

import sys
from typing import Annotated, Any

import litserve
from fastapi import File

from app.images.preprocessing import Pixels
from peers.model import BATCH, Model

Photo = Annotated[bytes, File(alias="file")]  # of the form; an UploadFile cannot go to a process


class Classifier(litserve.LitAPI):
    """Its hooks run in a process of their own."""

    def setup(self, device: str) -> None:  # noqa: ARG002  (LitServe's own signature)
        """Load the network."""
        self._model = Model()

    def decode_request(self, request: Photo) -> Pixels:
        """Return (H, W, 3) uint8."""
        return self._model.decode(request)

    def batch(self, inputs: list[Pixels]) -> list[Pixels]:
        """Leave the stacking to the model."""
        return inputs

    def predict(self, inputs: list[Pixels]) -> list[dict[str, Any]]:
        """Return an answer a photo."""
        return self._model.classify(inputs)

    def unbatch(self, outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Leave the answers as they are."""
        return outputs

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        """Leave the answer as it is."""
        return output


if __name__ == "__main__":
    api = Classifier(max_batch_size=BATCH, batch_timeout=0.001)
    server = litserve.LitServer(api, accelerator="cpu", devices=1, workers_per_device=2)
    server.run("127.0.0.1", int(sys.argv[1]), num_api_servers=1, generate_client_file=False)
