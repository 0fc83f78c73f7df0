"""Clients of every kind. Each is a function that is called again and again until the run ends."""

import http.client
import io
import random
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from select import select

import skimage
from costly import CORPUS
from PIL import Image
from tally import Outcome, Tally
from wire import Answer, abort, ask, connect, form, probe, receive, request

MAX_UPLOAD_BYTES = 1_000_000
UPLOAD_TIMEOUT_S = 2
CAPACITY = 12
LOST = (OSError, http.client.HTTPException)

_DATA = Path(skimage.__file__).parent / "data"
PHOTOS = {
    name: ((_DATA / name).read_bytes(), label)
    for name, label in (
        ("chelsea.png", "tiger cat"),
        ("coffee.png", "espresso"),
        ("rocket.jpg", "missile"),
        ("camera.png", "tripod"),
        ("motorcycle_left.png", "motor scooter, scooter"),
        ("motorcycle_right.png", "moped"),
        ("hubble_deep_field.jpg", "bubble"),
        ("chessboard_RGB.png", "crossword puzzle, crossword"),
    )
}


@cache
def twelve_megapixels() -> bytes:
    """Return the photo of a coffee as a JPEG of 12 megapixels."""
    data = io.BytesIO()
    with Image.open(_DATA / "coffee.png") as image:
        image.resize((4000, 3000)).save(data, "JPEG", quality=70)
    return data.getvalue()


OK: frozenset[Outcome] = frozenset({(200, "ok")})
# The other answers that a good photo may get while workers are being killed.
BUSY: frozenset[Outcome] = frozenset(
    {
        (429, "overloaded"),
        (503, "worker_lost"),
        # The service is not ready after two new workers in a row were killed during their start.
        (503, "not_ready"),
        (504, "deadline_unreachable"),
        (504, "deadline_exceeded"),
    }
)
PHOTO = OK | BUSY


@dataclass
class Client:
    """A client: the server's port, random numbers, the tally, and the event that ends the run."""

    port: int
    rng: random.Random
    tally: Tally
    over: threading.Event

    def photo(self) -> tuple[bytes, str]:
        """Return a random photo and its class."""
        return self.rng.choice(list(PHOTOS.values()))

    def pause(self, longest_s: float) -> None:
        """Wait for a random time, but not after the run has ended."""
        self.over.wait(self.rng.uniform(0, longest_s))


def good(client: Client) -> None:
    """Send a photo on a new connection."""
    data, label = client.photo()
    client.tally.answered("good", ask(client.port, form(data)), PHOTO, label)
    client.pause(0.1)


def regular(client: Client) -> None:
    """Send up to 39 photos on one connection, as long as the server keeps it open."""
    with connect(client.port) as connection:
        for _ in range(client.rng.randrange(1, 40)):
            data, label = client.photo()
            connection.sendall(request(form(data)))
            answer = receive(connection)
            client.tally.answered("regular", answer, PHOTO, label)
            client.pause(0.05)
            if answer.closes or client.over.is_set():
                return


def hungry(client: Client) -> None:
    """Send photo after photo on one connection; pause only after an answer other than 200."""
    with connect(client.port) as connection:
        while not client.over.is_set():
            data, label = client.photo()
            connection.sendall(request(form(data)))
            answer = receive(connection)
            client.tally.answered("hungry", answer, PHOTO, label)
            if answer.status != 200:
                client.pause(1)
            if answer.closes:
                return


def large(client: Client) -> None:
    """Send a photo of 12 megapixels."""
    client.tally.answered("large", ask(client.port, form(twelve_megapixels())), PHOTO, "espresso")
    client.pause(1)


def bad(client: Client) -> None:
    """Send an invalid upload, and expect the error that belongs to it."""
    data, _ = client.photo()
    junk = client.rng.randbytes(client.rng.randrange(2, 5000))
    name, body, expected = client.rng.choice(
        (
            ("garbage", form(b"%junk" + junk), (415, "unsupported_image")),
            ("truncated", form(data[: len(data) // 3]), (422, "broken_image")),
            ("headless", form(b"\xff\xd8\xff\xe0" + junk), (422, "broken_image")),
            ("too large", form(data + bytes(2 * MAX_UPLOAD_BYTES)), (413, "file_too_large")),
            ("empty", form(b""), (422, "empty_file")),
            ("no file", form(data, field="photo"), (422, "missing_file")),
            ("no form", junk, (400, "malformed_body")),
        )
    )
    client.tally.answered(name, ask(client.port, body), BUSY | {expected})
    client.pause(0.2)


@cache
def costly_uploads() -> list[tuple[str, bytes, frozenset[Outcome]]]:
    """Return the files of the corpus that this server admits: name, bytes, how each may end."""
    statuses = {"ok": 200, "too_many_pixels": 413, "broken_image": 422, "costly_image": 422}
    drawn = [(file, file.draw()) for file in CORPUS]
    return [
        (str(file), data, frozenset((statuses[code], code) for code in file.codes))
        for file, data in drawn
        if len(data) < MAX_UPLOAD_BYTES
    ]


def costly(client: Client) -> None:
    """Send a file that costs its decoder much time or memory, or ends it."""
    name, data, expected = client.rng.choice(costly_uploads())
    answer = ask(client.port, form(data))
    # A file that takes a while may lose every decoder that tries it to the strikes of this test.
    expected |= {(422, "costly_image")}
    # What the picture shows does not matter: most of them are black.
    client.tally.answered(f"costly {name}", answer, BUSY | expected, answer.label)
    client.pause(2)


def slow(client: Client) -> None:
    """Send a photo slowly, with pauses, until an answer comes; sometimes too slowly for a 200."""
    data, label = client.photo()
    whole = request(form(data))
    steps = 12
    pause_s = client.rng.choice((0.3, 0.8, 3 * UPLOAD_TIMEOUT_S)) / steps
    with connect(client.port) as connection:
        for step in range(steps):
            connection.sendall(whole[len(whole) * step // steps : len(whole) * (step + 1) // steps])
            client.over.wait(pause_s)
            # The server has refused already, and reads the rest of the photo only for a short time.
            if select([connection], [], [], 0)[0]:
                break
        client.tally.answered("slow", receive(connection), PHOTO | {(408, "upload_timeout")}, label)


def impatient(client: Client) -> None:
    """Send a photo with a deadline of a few milliseconds."""
    data, label = client.photo()
    headers = {"X-Deadline-Ms": str(client.rng.choice((1, 5, 20, 60)))}
    client.tally.answered("impatient", ask(client.port, form(data), headers), PHOTO, label)
    client.pause(0.1)


def vanishing(client: Client) -> None:
    """Close the connection during or after sending, or while waiting; normally or with a reset."""
    data, _ = client.photo()
    whole = request(form(data))
    share = client.rng.choice((0.0, 0.01, 0.5, 0.99, 1.0, 1.0))
    connection = connect(client.port)
    connection.sendall(whole[: int(len(whole) * share)])
    if client.rng.random() < 0.5:
        client.pause(0.1)
    client.rng.choice((abort, type(connection).close))(connection)
    client.tally.event("vanished")
    client.pause(0.1)


def burst(client: Client) -> None:
    """Send three times as many photos at once as the server's capacity."""
    photos = [client.photo() for _ in range(3 * CAPACITY)]
    with ExitStack() as stack:
        connections = [stack.enter_context(connect(client.port)) for _ in photos]
        for connection, (data, _) in zip(connections, photos, strict=True):
            connection.sendall(request(form(data)))
        for connection, (_, label) in zip(connections, photos, strict=True):
            client.tally.answered("burst", receive(connection), PHOTO, label)
    client.pause(4)


Deed = Callable[[Client], None]
CROWD: Sequence[Deed] = (
    *(good, good, regular, regular, bad, bad, slow, slow, slow),
    *(impatient, vanishing, vanishing, burst, costly),
)


def again_and_again(deed: Deed, client: Client) -> None:
    """Repeat a deed until the run ends. A client that waits and gets no answer is a fault."""
    while not client.over.is_set():
        try:
            deed(client)
        except LOST as error:
            if deed is vanishing:
                continue
            client.tally.fault(f"{deed.__name__}: no answer: {error!r}")
            client.pause(0.5)


def until_refused(client: Client, keep: bool) -> None:
    """Send photos until the server's port is closed; with `keep`, reuse an open connection."""
    while True:
        try:
            connection = connect(client.port)
        except ConnectionRefusedError:
            return
        try:
            with connection:
                answer = _ask_in_drain(client, connection)
                while keep and not answer.closes:
                    answer = _ask_in_drain(client, connection)
        except LOST as error:
            client.tally.fault(f"lost in the drain: {error!r}")


def _ask_in_drain(client: Client, connection: socket.socket) -> Answer:
    data, label = client.photo()
    connection.sendall(request(form(data)))
    answer = receive(connection)
    # On a machine that others keep busy, a photo may wait at the door for too long.
    client.tally.answered("in the drain", answer, OK | {(429, "overloaded")}, label)
    return answer


def probe_until_refused(client: Client) -> None:
    """Probe liveness until the port is closed, on hundreds of new connections per second.

    Some connections are therefore just being opened when the port closes.
    """
    while True:
        try:
            status = probe(client.port, "/health/live")
        except ConnectionRefusedError:
            return
        except LOST as error:
            client.tally.fault(f"a probe lost in the drain: {error!r}")
        else:
            client.tally.event(f"probed in the drain {status}")
