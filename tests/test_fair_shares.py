"""One greedy caller beside a modest one, on a real server: the modest one does not notice."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import skimage
from running import RunningServer, until

from app.serving.shares import key_name

GREEDY, MODEST = "the-greedy-key-0123456789", "the-modest-key-0123456789"
PHOTO = (Path(skimage.__file__).parent / "data" / "rocket.jpg").read_bytes()
# Fewer than the places that two workers have at the least, however slow the machine is.
PLACES = 4
CONNECTIONS = 64
REQUESTS = 40

pytestmark = pytest.mark.slow


@dataclass
class Answers:
    """The codes of answers, and the seconds that those with predictions took."""

    codes: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    def ask(self, client: httpx.Client, key: str) -> None:
        """Send one photo, and note the answer."""
        started = time.perf_counter()
        headers = {"Authorization": f"Bearer {key}"}
        answer = client.post("/predict", content=PHOTO, headers=headers)
        code = "ok" if answer.status_code == 200 else answer.json()["code"]
        self.codes[code] += 1
        if code == "ok":
            self.seconds.append(time.perf_counter() - started)

    def within_s(self, share: float) -> float:
        """Return the time within which this share of the answers came."""
        return sorted(self.seconds)[int(share * len(self.seconds))]


@pytest.fixture
def server(default_bundle: Path, tmp_path: Path) -> Iterator[RunningServer]:
    settings = {"workers": 2, "api_keys": f"{GREEDY} {MODEST}", "key_concurrency": PLACES}
    settings |= {"max_batch_size": None, "longest_wait_s": None, "decode_timeout_s": 60}
    with RunningServer(default_bundle, tmp_path / "log", **settings) as server:
        yield server


def modest(server: RunningServer) -> Answers:
    answers = Answers()
    for _ in range(REQUESTS):
        answers.ask(server.client, MODEST)
        time.sleep(0.02)
    return answers


def insist(server: RunningServer, answers: Answers, over: threading.Event) -> None:
    """Send photo after photo on one connection, and do not heed `Retry-After`."""
    with httpx.Client(base_url=server.url, timeout=60) as client:
        while not over.is_set():
            answers.ask(client, GREEDY)


def test_a_modest_caller_does_not_notice_a_greedy_one(server: RunningServer) -> None:
    modest(server)
    alone = modest(server)
    over, greedy = threading.Event(), Answers()
    threads = [
        threading.Thread(target=insist, args=(server, greedy, over)) for _ in range(CONNECTIONS)
    ]
    for thread in threads:
        thread.start()
    until(lambda: greedy.codes["key_busy"])
    before, started = greedy.codes["ok"], time.perf_counter()
    beside = modest(server)
    photos_per_s = (greedy.codes["ok"] - before + REQUESTS) / (time.perf_counter() - started)
    over.set()
    for thread in threads:
        thread.join()
    worst_s, usual_s = beside.within_s(0.99), alone.within_s(0.99)
    print(f"\np99 alone {usual_s:.3f} s, beside {worst_s:.3f} s, {photos_per_s:.0f} photos/s")
    assert alone.codes == beside.codes == {"ok": REQUESTS}
    # The greedy caller has its own share, and is refused for what is above.
    assert greedy.codes["ok"] > PLACES
    assert set(greedy.codes) == {"ok", "key_busy"}
    assert beside.within_s(0.5) < greedy.within_s(0.5)
    # A modest photo waits for the greedy caller's few at most. The rest is left for the noise of a
    # busy machine.
    assert worst_s < usual_s + 10 * (PLACES + 1) / photos_per_s
    metrics = server.client.get("/metrics").text.splitlines()
    inside = f'classifier_key_in_flight_photos{{key="{key_name(GREEDY.encode())}"}} 0.0'
    assert inside in metrics
