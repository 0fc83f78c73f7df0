"""Ray Serve: two replicas behind its proxy. Each replica decodes and classifies in batches."""

import asyncio
import sys
from typing import Any

import ray
from ray import serve
from starlette.requests import Request

from app.images.preprocessing import Pixels
from peers.model import BATCH, Model


class Classifier:
    """The replica. A request's body is the photo, without a form."""

    def __init__(self) -> None:
        self._model = Model()

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Classify one photo."""
        pixels = await asyncio.to_thread(self._model.decode, await request.body())
        answer: dict[str, Any] = await self._classify(pixels)
        return answer

    @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=0.001)
    async def _classify(self, photos: list[Pixels]) -> list[dict[str, Any]]:
        return await asyncio.to_thread(self._model.classify, photos)


deployment = serve.deployment(
    num_replicas=2,
    max_ongoing_requests=32,
    max_queued_requests=64,
    ray_actor_options={"num_cpus": 1},
)(Classifier)

if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(deployment.bind(), blocking=True, route_prefix="/predict")
