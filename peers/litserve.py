"""LitServe: two processes that decode and classify, each in batches of up to four photos."""

import sys
from typing import Annotated, Any

import litserve
from fastapi import File

from app.images.preprocessing import Pixels
from peers.model import BATCH, Model

# The bytes of the form's field `file`: an UploadFile cannot be sent to another process.
Photo = Annotated[bytes, File(alias="file")]


class Classifier(litserve.LitAPI):
    """The hooks that LitServe calls in its worker processes."""

    def setup(self, device: str) -> None:  # noqa: ARG002  (LitServe passes this argument)
        """Load the network."""
        self._model = Model()

    def decode_request(self, request: Photo) -> Pixels:
        """Return the decoded photo, (H, W, 3) uint8."""
        return self._model.decode(request)

    def batch(self, inputs: list[Pixels]) -> list[Pixels]:
        """Return the photos as they are, because the model stacks them."""
        return inputs

    def predict(self, inputs: list[Pixels]) -> list[dict[str, Any]]:
        """Return one answer per photo."""
        return self._model.classify(inputs)

    def unbatch(self, outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the answers as they are."""
        return outputs

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        """Return the answer as it is."""
        return output


if __name__ == "__main__":
    api = Classifier(max_batch_size=BATCH, batch_timeout=0.001)
    server = litserve.LitServer(api, accelerator="cpu", devices=1, workers_per_device=2)
    server.run("127.0.0.1", int(sys.argv[1]), num_api_servers=1, generate_client_file=False)
