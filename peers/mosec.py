"""mosec: a stage of processes that decode, and one of processes that classify in batches."""

from typing import Any

from mosec import Server, Worker

from app.images.decoding import decode
from app.images.preprocessing import Pixels
from app.model.bundle import load_bundle
from app.settings import read_settings
from peers.model import BATCH, Model


class Decoder(Worker):
    """Takes the bare photo as the request's body."""

    def __init__(self) -> None:
        self._settings = read_settings()
        self._spec = load_bundle(self._settings.model_dir).preprocessing

    def deserialize(self, data: bytes) -> bytes:
        """Leave the body as it is."""
        return data

    def forward(self, data: bytes) -> Pixels:
        """Return (H, W, 3) uint8."""
        return decode(data, self._spec, self._settings.max_pixels).pixels


class Classifier(Worker):
    """Its answers are JSON, as is mosec's default."""

    def __init__(self) -> None:
        self._model = Model()

    def forward(self, photos: list[Pixels]) -> list[dict[str, Any]]:
        """Return an answer a photo."""
        return self._model.classify(photos)


if __name__ == "__main__":
    server = Server()
    server.append_worker(Decoder, num=2, route="/predict")
    server.append_worker(Classifier, num=2, max_batch_size=BATCH, max_wait_time=1, route="/predict")
    server.run()
