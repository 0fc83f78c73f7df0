"""The two clients: one that blocks, and one to be awaited."""

import asyncio
import time
from collections.abc import Sequence
from typing import Self, TypeVar, overload

import httpx

from photo_classifier.answers import Answer
from photo_classifier.conversation import Conversation, Outcome, Speaker, Wishes
from photo_classifier.photos import ONE, Photo

Result = TypeVar("Result")


class Classifier:
    """A client of one service. It keeps connections, so use one for many photos, and close it.

    Args:
        url: the address of the service, such as http://127.0.0.1:8000.
        key: the key, where the service requires one.
        timeout_s: the seconds that a photo may take with all retries, unless a call says other.
        transport: another transport of httpx.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout_s: float = 60,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._speaker = Speaker(url, key)
        self._timeout_s = timeout_s
        self._http = httpx.Client(transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @overload
    def predict(  # type: ignore[overload-overlap]  # a str is a sequence of str
        self,
        photo: Photo,
        *,
        top_k: int | None = None,
        min_score: float = 0.0,
        timeout_s: float | None = None,
    ) -> Answer: ...
    @overload
    def predict(
        self,
        photo: Sequence[Photo],
        *,
        top_k: int | None = None,
        min_score: float = 0.0,
        timeout_s: float | None = None,
    ) -> list[Outcome]: ...
    def predict(
        self,
        photo: Photo | Sequence[Photo],
        *,
        top_k: int | None = None,
        min_score: float = 0.0,
        timeout_s: float | None = None,
    ) -> Answer | list[Outcome]:
        """Return what a photo shows, or for a list an answer or an error for each photo.

        Args:
            photo: a path, bytes, an image of Pillow, an array of uint8, or a list of such.
            top_k: the number of classes; by default the service chooses.
            min_score: classes with a lower score are left out.
            timeout_s: the seconds that a photo, or 32 photos of a list, may take.

        Raises:
            ClassifierError: there is no answer; for a list only KeyRefused and Unreachable.
            OSError, TypeError, ValueError: this is no photo.
        """
        wishes = Wishes(top_k, min_score, timeout_s or self._timeout_s)
        if isinstance(photo, ONE):
            return self._hold(self._speaker.one(photo, wishes))
        return self._hold(self._speaker.several(photo, wishes))

    def _hold(self, conversation: Conversation[Result]) -> Result:
        said: httpx.Response | httpx.TransportError | None = None
        try:
            while True:
                step = conversation.send(said)
                if isinstance(step, httpx.Request):
                    said = self._send(step)
                else:
                    time.sleep(step)
                    said = None
        except StopIteration as end:
            result: Result = end.value
            return result

    def _send(self, request: httpx.Request) -> httpx.Response | httpx.TransportError:
        try:
            return self._http.send(request)
        except httpx.TransportError as error:
            return error


class AsyncClassifier:
    """The same as `Classifier`, to be awaited."""

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout_s: float = 60,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._speaker = Speaker(url, key)
        self._timeout_s = timeout_s
        self._http = httpx.AsyncClient(transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    @overload
    async def predict(  # type: ignore[overload-overlap]  # a str is a sequence of str
        self,
        photo: Photo,
        *,
        top_k: int | None = None,
        min_score: float = 0.0,
        timeout_s: float | None = None,
    ) -> Answer: ...
    @overload
    async def predict(
        self,
        photo: Sequence[Photo],
        *,
        top_k: int | None = None,
        min_score: float = 0.0,
        timeout_s: float | None = None,
    ) -> list[Outcome]: ...
    async def predict(
        self,
        photo: Photo | Sequence[Photo],
        *,
        top_k: int | None = None,
        min_score: float = 0.0,
        timeout_s: float | None = None,
    ) -> Answer | list[Outcome]:
        """Do the same as `Classifier.predict`."""
        wishes = Wishes(top_k, min_score, timeout_s or self._timeout_s)
        if isinstance(photo, ONE):
            return await self._hold(self._speaker.one(photo, wishes))
        return await self._hold(self._speaker.several(photo, wishes))

    async def _hold(self, conversation: Conversation[Result]) -> Result:
        said: httpx.Response | httpx.TransportError | None = None
        try:
            while True:
                step = conversation.send(said)
                if isinstance(step, httpx.Request):
                    said = await self._send(step)
                else:
                    await asyncio.sleep(step)
                    said = None
        except StopIteration as end:
            result: Result = end.value
            return result

    async def _send(self, request: httpx.Request) -> httpx.Response | httpx.TransportError:
        try:
            return await self._http.send(request)
        except httpx.TransportError as error:
            return error
