"""mosec: one stage of processes decodes, and a second stage classifies in batches."""

from typing import Any

from mosec import Server, Worker

from app.images.decoding import decode
from app.images.preprocessing import Pixels
from app.model.bundle import load_bundle
from app.settings import read_settings
from peers.model import BATCH, Model


class Decoder(Worker):
    """The stage that decodes. A request's body is the photo, without a form."""

    def __init__(self) -> None:
        self._settings = read_settings()
        self._spec = load_bundle(self._settings.model_dir).preprocessing

    def deserialize(self, data: bytes) -> bytes:
        """Return the body as it is."""
        return data

    def forward(self, data: bytes) -> Pixels:
        """Return the decoded photo, (H, W, 3) uint8."""
        return decode(data, self._spec, self._settings.max_pixels).pixels


class Classifier(Worker):
    """The stage that classifies. mosec sends its answers as JSON, which is the default."""

    def __init__(self) -> None:
        self._model = Model()

    def forward(self, photos: list[Pixels]) -> list[dict[str, Any]]:
        """Return one answer per photo."""
        return self._model.classify(photos)


if __name__ == "__main__":
    server = Server()
    server.append_worker(Decoder, num=2, route="/predict")
    server.append_worker(Classifier, num=2, max_batch_size=BATCH, max_wait_time=1, route="/predict")
    server.run()
