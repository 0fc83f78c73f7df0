"""All costly files at a real server, beside clients that send good photos."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue

import httpx
import prober
import pytest
import skimage
from calling import caller_of, grpc_settings
from costly import CORPUS, CostlyFile, png, tiff
from running import RunningServer, until
from speaking import ALL, SPEAKERS

from app.bench.measure.processes import descendants

DATA = Path(skimage.__file__).parent / "data"
PHOTOS = [
    ((DATA / name).read_bytes(), label)
    for name, label in (
        ("chelsea.png", "tiger cat"),
        ("coffee.png", "espresso"),
        ("rocket.jpg", "missile"),
        ("motorcycle_right.png", "moped"),
    )
]
GOOD_CLIENTS, COSTLY_CLIENTS, DECODERS = 3, 3, 2
# A decoder that works for long has a low priority, so its file may miss the server's deadline.
LATE = "deadline_exceeded"
STATUSES = {"ok": 200, "too_many_pixels": 413, "broken_image": 422, "costly_image": 422}
# One file of each ending; all but the header of the huge picture are large or costly.
ENDINGS = {
    "ok": tiff.directories,
    "too_many_pixels": png.header_of_a_huge_picture,
    "broken_image": png.compressed_text_without_end,
    "costly_image": png.colour_profiles,
}
LIVE_S = 0.1
# With pauses, the good clients leave most of the CPUs to the costly files.
PAUSE_S = 0.4
SPARE_BYTES = 50_000_000


Ending = tuple[CostlyFile, str]


def resident_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def code_of(answer: httpx.Response) -> str:
    return "ok" if answer.is_success else str(answer.json()["code"])


def good_answers(server: RunningServer, over: threading.Event) -> Iterator[tuple[str, str]]:
    """Send good photos until the end; yield what each answer says, and what is right."""
    with httpx.Client(base_url=server.url, timeout=60) as http:
        while not over.is_set():
            for data, label in PHOTOS:
                over.wait(PAUSE_S)
                answer = http.post("/predict", files={"file": data})
                said = answer.json().get("predictions", [{}])[0].get("label")
                yield said or code_of(answer), label


def endings(server: RunningServer, files: SimpleQueue[tuple[CostlyFile, bytes]]) -> list[Ending]:
    """Send costly files until none is left; return the code of each."""
    ended: list[Ending] = []
    with httpx.Client(base_url=server.url, timeout=60) as http:
        while True:
            try:
                file, data = files.get_nowait()
            except Empty:
                return ended
            answer = http.post("/predict", files={"file": data})
            ended.append((file, code_of(answer)))


def crowd(server: RunningServer) -> tuple[list[Ending], list[tuple[str, str]]]:
    """Send all costly files, and good photos beside them; return how all of them ended."""
    files: SimpleQueue[tuple[CostlyFile, bytes]] = SimpleQueue()
    for file in CORPUS:
        files.put((file, file.draw()))
    over = threading.Event()
    with ThreadPoolExecutor(GOOD_CLIENTS + COSTLY_CLIENTS) as clients:
        good = [
            clients.submit(lambda: list(good_answers(server, over))) for _ in range(GOOD_CLIENTS)
        ]
        costly = [clients.submit(endings, server, files) for _ in range(COSTLY_CLIENTS)]
        try:
            ended = [each for client in costly for each in client.result()]
        finally:
            over.set()
        return ended, [each for client in good for each in client.result()]


@pytest.mark.slow
def test_costly_files_harm_nobody_else(default_bundle: Path, tmp_path: Path) -> None:
    settings = {"workers": 1, "decoders": DECODERS}
    with RunningServer(default_bundle, tmp_path / "log", **settings) as server:
        for data, _ in 4 * PHOTOS:
            assert server.predict(data).is_success
        pid = server.process.pid
        workers, before = server.workers(), resident_bytes(pid)
        probes = subprocess.Popen(
            [sys.executable, prober.__file__, str(server.port), str(pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        ended, answers = crowd(server)
        took = json.loads(probes.communicate()[0])
        # What the server and the prober waited for a CPU is the machine's time, not the server's.
        slowest_s = max(seconds - waited_s for seconds, waited_s in took)
        until(lambda: server.health()["in_flight"] == 0)
        until(lambda: len(server.decoders()) == DECODERS)
        grown = resident_bytes(pid) - before
        print(
            f"\n{len(ended)} costly files, {len(answers)} good photos; the slowest of {len(took)} "
            f"probes {1000 * slowest_s:.0f} ms, with waits for a CPU {1000 * max(took)[0]:.0f} ms; "
            f"memory {grown / 1e6:+.1f} MB"
        )
        assert [(str(file), code) for file, code in ended if code not in {*file.codes, LATE}] == []
        assert [each for each in answers if each[0] != each[1]] == []
        assert len(answers) > len(CORPUS)
        assert slowest_s < LIVE_S
        assert grown < SPARE_BYTES
        assert server.workers() == workers
        known = {pid, *workers, *server.decoders(), server.zygote()}
        # The other two are the forkserver and the resource tracker.
        assert len(descendants(pid) - known) == 2


@pytest.mark.slow
def test_costly_files_end_the_same_in_every_dialect(small_bundle: Path, tmp_path: Path) -> None:
    # The costly file goes on for longer than any bound, and the others need hardly any time.
    quick = {"decoders": DECODERS, "decode_timeout_s": 0.5, "deadline_s": 60}
    settings = grpc_settings(dialects=f"{ALL},oip-grpc", **quick)
    with (
        RunningServer(small_bundle, tmp_path / "log", **settings) as server,
        caller_of(server, settings["grpc_port"]) as caller,
    ):
        model = caller.model
        for code, draw in ENDINGS.items():
            file = draw()
            for speaker in SPEAKERS:
                answer = speaker.send(server.client, model, file)
                assert (str(speaker), answer.status_code) == (str(speaker), STATUSES[code])
                assert answer.is_success or tuple(answer.json()) == speaker.fields
            assert caller.infer(file).outcome == code
        for speaker in SPEAKERS:
            assert speaker.send(server.client, model, PHOTOS[0][0]).is_success
        assert caller.infer(PHOTOS[0][0]).code == "OK"
        health = server.health()
        assert (health["in_flight"], health["in_flight_bytes"]) == (0, 0)
