"""The load tool: its arithmetic, and what it says of a server that misbehaves as scripted."""

import asyncio
import io
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.bench.load.answers import Top, Verdict, accuracy, ask_reference, judge
from app.bench.load.client import Connections, Response
from app.bench.load.generator import LoadGenerator, LoadPlan, Result, arrivals
from app.bench.load.photos import MEGAPIXELS, PhotoFile, find_photos
from app.bench.load.target import Target
from app.bench.load_test import prepared, run_loop
from app.bench.measure import processes
from app.bench.measure.launch import running_server
from app.bench.measure.runner import Measurement, ToolUse
from app.bench.measure.stats import Latency, Window, percentile, summarize
from app.bench.report.charts import Chart, Line, nice_step
from app.bench.rounds import Round, figures
from app.bench.sweep import highest_rate
from app.errors import StartupError
from app.host import granted_cores
from app.settings import read_settings

# --- arithmetic


@pytest.mark.parametrize(
    ("count", "p", "expected"),
    [(1, 50, 1), (2, 50, 1), (3, 50, 2), (100, 99, 99), (101, 99, 100), (1000, 99.9, 999)],
)
def test_a_percentile_is_one_of_the_samples(count: int, p: float, expected: int) -> None:
    assert percentile(range(1, count + 1), p) == expected


def test_latencies_in_milliseconds() -> None:
    assert Latency.of(i / 1000 for i in range(1000, 0, -1)) == Latency(500, 900, 990, 999, 1000)
    assert Latency.of([]) is None


def test_poisson_arrivals() -> None:
    times = arrivals(200, 50, seed=7)
    gaps = np.diff(times)
    assert (gaps > 0).all()
    assert 0 < times[0] < times[-1] < 50
    assert len(times) == pytest.approx(10_000, rel=0.05)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)  # as of an exponential distribution
    assert np.array_equal(times, arrivals(200, 50, seed=7))
    assert not np.array_equal(times[:10], arrivals(200, 50, seed=8)[:10])


def test_too_many_arrivals_are_refused() -> None:
    with pytest.raises(StartupError, match="requests are too many"):
        arrivals(1e6, 3600, seed=0)


def answer(class_id: int = 3, score: float = 0.5) -> bytes:
    return json.dumps({"predictions": [{"class_id": class_id, "score": score}]}).encode()


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (200, answer(), Verdict(True)),
        (200, answer(score=0.505), Verdict(True)),
        (200, answer(score=0.52), Verdict(False, "wrong")),
        (200, answer(class_id=4), Verdict(False, "wrong")),
        (200, b'{"predictions": []}', Verdict(False, "wrong")),
        (200, b"[]", Verdict(False, "wrong")),
        (200, b"no JSON", Verdict(False, "wrong")),
        (429, b'{"code": "overloaded"}', Verdict(False, "overloaded")),
        (502, b"<html>", Verdict(False, "no code")),
        (500, b"[]", Verdict(False, "no code")),
    ],
)
def test_verdicts(status: int, body: bytes, verdict: Verdict) -> None:
    assert judge(Response(status, body), Top(3, 0.5)) == verdict


def sample(at: float, took: float = 0.1, status: int = 200, reason: str = "") -> Result:
    return Result(at, at, at + took, status, reason, 0)


def test_only_the_window_counts_but_a_wrong_answer_always_does() -> None:
    window = Window(10, 20)
    summary = summarize(
        [
            sample(5, reason="wrong"),
            sample(9.95),  # sent during the warm-up, came in the window
            sample(12),
            sample(13, took=1.5),  # right, but too late to be good
            sample(14, reason="wrong"),
            sample(15, status=429, reason="overloaded", took=0.002),
            sample(16, status=503, reason="worker_lost"),
            sample(17, status=0, reason="ConnectionResetError"),
            sample(19.95),  # came after the window
            sample(20.5),
        ],
        window,
    )
    assert summary.requests == 7
    assert (summary.answers_per_s, summary.right_per_s, summary.goodput_per_s) == (0.4, 0.3, 0.2)
    assert summary.wrong == 2
    assert summary.errors_by_status == {"429": 1, "503": 1}
    assert summary.errors_by_code == {"overloaded": 1, "worker_lost": 1}
    assert summary.transport_errors == {"ConnectionResetError": 1}
    assert summary.errors == 5
    assert summary.latency_ms == Latency(100, 1500, 1500, 1500, 1500)
    assert summary.refusal_ms == Latency(2, 2, 2, 2, 2)
    assert summary.failure_ms == Latency(100, 100, 100, 100, 100)


def test_nothing_at_all_has_figures_too() -> None:
    summary = summarize([], Window(1, 1))
    assert (summary.requests, summary.answers_per_s, summary.latency_ms) == (0, 0, None)


@pytest.mark.parametrize("limit", [0.9, 1, 7, 16, 130, 5000])
@pytest.mark.parametrize("first", [1, 16, 400])
def test_a_sweep_finds_the_limit(limit: float, first: float) -> None:
    tried: list[float] = []

    async def stands(rate: float) -> bool:
        tried.append(rate)
        return rate <= limit

    found = asyncio.run(highest_rate(stands, first))
    if len(tried) < 14:
        assert 0.95 * limit <= found <= limit
    assert found == max((rate for rate in tried if rate <= limit), default=0)
    assert len(tried) == len(set(tried)) <= 14


def test_a_sweep_ends_where_nothing_stands_and_where_everything_does() -> None:
    async def answers(yes: bool) -> float:
        async def stands(_: float) -> bool:
            return yes

        return await highest_rate(stands, 10)

    assert asyncio.run(answers(False)) == 0
    assert asyncio.run(answers(True)) == 10 * 2**13


def a_run(samples: list[Result], plan: LoadPlan) -> Measurement:
    window = Window(0, 10)
    return Measurement(
        plan, window, samples, summarize(samples, window), None, ToolUse(0.2, 0.01), None
    )


def a_round(decode_ms: float, engine_ms: float, count: int) -> Round:
    engine = {1: 2 * engine_ms, 2: engine_ms, 4: 15, 8: 15}
    over = [sample(9, status=429, reason="overloaded", took=0.004), *[sample(8, took=1.5)] * 9]
    return Round(
        decode_ms,
        10 * decode_ms,
        engine,
        2 * engine_ms,
        idle=a_run([sample(1, took=0.021)], LoadPlan(concurrency=1)),
        run=a_run([sample(1)] * count, LoadPlan()),
        overload=a_run([*over, *[sample(8)] * (count // 2)], LoadPlan(rate=count / 5)),
        probes_s=[0.001, 0.003],
    )


def test_efficiency_is_made_of_medians() -> None:
    document = figures([a_round(3, 7, 500), a_round(2, 8, 400), a_round(1, 20, 600)])
    assert document["right_per_s"] == 50
    assert document["bound_per_s"] == 100 * granted_cores()  # 2 ms and 8 ms
    assert document["busy_bound_per_s"] == round(1000 / 18 * granted_cores(), 1)
    assert document["plain_bound_per_s"] == round(1000 / 28 * granted_cores(), 1)
    assert document["efficiency"] == 0.5 / granted_cores()
    assert document["health_live_ms"]["max"] == 3


def test_one_client_and_twice_the_peak_in_medians() -> None:
    document = figures([a_round(3, 7, 500), a_round(2, 8, 400), a_round(1, 20, 600)])
    assert document["idle_ms"] == 21
    assert document["idle_beside_ms"] == 3  # 21 - 2 - 2 x 8
    assert document["overload_rate"] == 100
    assert document["overload_goodput"] == 0.5  # a late answer is none
    assert document["overload_p99_ms"] == 1500
    assert document["overload_refusal_p99_ms"] == 4
    assert document["overload_calm_after_s"] == 0.5  # due at 9 s, and the last answer at 9.5


# --- photos, addresses, pages


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i, name in enumerate("abc"):
        pixels = np.full((40, 50, 3), 80 * i, np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    (tmp_path / "labels.csv").write_text("file,class_index,name\na.png,1,x\nb.png,7,y\n")
    (tmp_path / "notes.txt").write_text("no photo")
    return tmp_path


def test_photos_of_a_folder_with_their_labels(folder: Path) -> None:
    photos = find_photos(folder)
    assert [(p.name, p.class_index) for p in photos] == [
        ("a.png", 1),
        ("b.png", 7),
        ("c.png", None),
    ]


@pytest.mark.parametrize(("megapixels", "size"), [(MEGAPIXELS, (500, 375)), (1.92, (1600, 1200))])
def test_photos_that_are_shipped(megapixels: float, size: tuple[int, int]) -> None:
    photos = find_photos(None, megapixels)
    assert len(photos) >= 8
    for photo in photos:
        with Image.open(io.BytesIO(photo.data)) as image:
            assert (image.format, image.size) == ("JPEG", size)


@pytest.mark.parametrize(
    ("labels", "said"), [("file\na.png\n", "labels.csv is not of the form"), (None, "no images")]
)
def test_photos_of_no_use(folder: Path, labels: str | None, said: str) -> None:
    if labels:
        (folder / "labels.csv").write_text(labels)
    else:
        for file in folder.glob("*.png"):
            file.unlink()
    with pytest.raises(StartupError, match=said):
        find_photos(folder)


def test_photos_are_looked_for_in_folders_only(folder: Path) -> None:
    for place in (folder / "nowhere", next(folder.glob("*.png"))):
        with pytest.raises(StartupError, match="is not a folder"):
            find_photos(place)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://127.0.0.1:8000", Target("127.0.0.1", 8000, "/predict")),
        ("http://host/", Target("host", 80, "/predict")),
        ("http://[::1]:9/classify?k=1", Target("::1", 9, "/classify?k=1")),
    ],
)
def test_addresses(url: str, target: Target) -> None:
    assert Target.parse(url) == target


@pytest.mark.parametrize("url", ["https://host", "host:8000", "http://:1", "http://host:x"])
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(StartupError, match=re.escape(url)):
        Target.parse(url)


def test_a_chart_holds_its_points() -> None:
    line = Line("a < b", "good", [(0, 0), (1, 90), (2, 200)])
    svg = Chart("t", "ms", [line], [(0, "0 s"), (2, "2 s")]).svg()
    points = re.search('points="(.+?)"', svg)
    assert points
    heights = [float(point.split(",")[1]) for point in points[1].split()]
    assert heights == sorted(heights, reverse=True)
    assert "a &lt; b" in svg
    assert "200 ms" in svg


@pytest.mark.parametrize(("highest", "step"), [(0, 1), (4, 1), (10, 2), (350, 50), (0.09, 0.02)])
def test_steps_of_an_axis(highest: float, step: float) -> None:
    assert nice_step(highest) == pytest.approx(step)


# --- against a server

Reply = tuple[int, bytes] | None  # None: the connection is dropped
Script = Callable[[str], Awaitable[Reply]]

BLACK, GREY, WHITE = (f"photo-{name}" for name in ("black", "grey", "white"))
PHOTOS = [
    PhotoFile(name, name.encode(), class_index=i) for i, name in enumerate((BLACK, GREY, WHITE))
]
CLASSES = {BLACK: 0, GREY: 1, WHITE: 5}  # the last is not its label


async def right(photo: str) -> Reply:
    return 200, answer(CLASSES[photo], 0.75)


class ScriptedServer:
    """Answers as `script` says; after the first answers to each photo, as `later` says."""

    def __init__(self, later: Script = right) -> None:
        self.script: Script = right
        self.later = later
        self.heads: list[str] = []
        self.connections = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Target]:
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as server:
            yield Target("127.0.0.1", server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await self._head(reader):
                length = re.search(r"Content-Length: (\d+)", head)
                body = (await reader.readexactly(int(length[1]) if length else 0)).decode("latin-1")
                photo = re.search(r"photo-\w+", body)
                reply = await self.script(photo[0] if photo else "")
                if reply is None:
                    break
                status, content = reply
                start = f"HTTP/1.1 {status} X\r\nContent-Length: {len(content)}\r\n\r\n"
                writer.write(start.encode() + content)
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()

    async def _head(self, reader: asyncio.StreamReader) -> str:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        except asyncio.IncompleteReadError:
            return ""
        self.heads.append(head)
        return head


def loaded(server: ScriptedServer, plan: LoadPlan, deadline_ms: int | None = None) -> Measurement:
    """Run the tool against a server in this process."""

    async def run() -> Measurement:
        async with server.running() as target, prepared(target, PHOTOS, deadline_ms) as ready:
            server.script = server.later
            return await ready.run(plan)

    return run_loop(run())


SHORT = LoadPlan(concurrency=4, seconds=2, warmup_seconds=0.1)


def test_a_server_that_is_always_right() -> None:
    server = ScriptedServer()
    run = loaded(server, SHORT, deadline_ms=900)
    assert run.summary.requests > 20
    assert run.summary.errors == 0
    assert run.summary.right_per_s == run.summary.answers_per_s > 0
    assert server.connections <= 4 + 1  # kept and used again
    assert all("X-Deadline-Ms: 900\r\n" in head for head in server.heads)
    counts = np.bincount([sample.case for sample in run.samples[:300]])
    assert counts.min() > 0


def test_wrong_refused_and_dropped_are_told_apart() -> None:
    turn = iter(range(10**9))

    async def mixed(photo: str) -> Reply:
        await asyncio.sleep(0.001)
        match next(turn) % 10:
            case 0:
                return 200, answer(CLASSES[photo] + 1, 0.75)  # a neighbour's answer
            case 1 | 2:
                return 429, b'{"code": "overloaded"}'
            case 3:
                return None
            case _:
                return await right(photo)

    run = loaded(ScriptedServer(mixed), SHORT)
    total = len(run.samples)
    counts = {
        reason: sum(sample.reason == reason for sample in run.samples)
        for reason in ("", "wrong", "overloaded", "ConnectionResetError")
    }
    assert sum(counts.values()) == total > 50
    for reason, share in (("wrong", 0.1), ("overloaded", 0.2), ("ConnectionResetError", 0.1)):
        assert counts[reason] == pytest.approx(share * total, abs=2)
    summary = run.summary
    assert summary.wrong == counts["wrong"]
    assert summary.errors_by_status.keys() == {"429"}
    assert summary.errors_by_code.keys() == {"overloaded"}
    assert summary.transport_errors.keys() == {"ConnectionResetError"}
    assert summary.refusal_ms
    assert summary.right_per_s < summary.answers_per_s


def test_a_stall_counts_from_when_requests_should_have_been_sent() -> None:
    """The server stands still once for 0.4 s; one after the other, all who came then wait."""
    first, gate = iter([True]), asyncio.Lock()

    async def stalling(photo: str) -> Reply:
        async with gate:
            if next(first, False):
                await asyncio.sleep(0.4)
        return await right(photo)

    plan = LoadPlan(rate=200, seconds=0.8, warmup_seconds=0)
    run = loaded(ScriptedServer(stalling), plan)
    times = arrivals(200, 0.8, seed=0)
    assert len(run.samples) == len(times)
    assert run.summary.errors == 0
    late = sorted((s.latency_s for s in run.samples), reverse=True)
    during = int((times < times[0] + 0.3).sum())  # they have to wait for 0.1 s at least
    assert during > 30
    assert late[0] >= 0.399  # uvloop's clock ticks in milliseconds
    assert late[during - 1] >= 0.1


def test_with_too_few_connections_the_wait_for_one_counts() -> None:
    async def slow(photo: str) -> Reply:
        await asyncio.sleep(0.05)
        return await right(photo)

    server = ScriptedServer(slow)

    async def run() -> list[float]:
        async with server.running() as target:
            connections = Connections(target, 1)
            cases = await ask_reference(connections, PHOTOS, "")
            server.script = slow
            load = LoadGenerator(
                connections, cases, LoadPlan(rate=1000, seconds=0.01, warmup_seconds=0)
            )
            await load.run(time.perf_counter())
            connections.close()
            return sorted(sample.latency_s for sample in load.samples)

    latencies = asyncio.run(run())
    assert len(latencies) >= 5
    assert latencies[-1] >= 0.05 * len(latencies) - 0.02


def test_first_answers_are_held_against_the_labels() -> None:
    async def run() -> float | None:
        async with ScriptedServer().running() as target:
            connections = Connections(target, 1)
            cases = await ask_reference(connections, PHOTOS, "")
            connections.close()
            return accuracy(cases)

    assert asyncio.run(run()) == pytest.approx(2 / 3)


async def ended(*arguments: object, ctrl_c: asyncio.Event | None = None) -> tuple[int, str, str]:
    """Run the command to its end; Ctrl-C is pressed when the event is set."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app", "bench", *map(str, arguments)),
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            if ctrl_c:
                await ctrl_c.wait()
                process.send_signal(signal.SIGINT)
            out, err = await process.communicate()
            return process.returncode or 0, out.decode(), err.decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def constant(*replies: Reply) -> Script:
    """Answer with each in turn, then with the last for ever."""
    turn = iter(replies)

    async def script(_: str) -> Reply:
        return next(turn, replies[-1])

    return script


def test_the_command_reports_wrong_answers(folder: Path) -> None:
    server = ScriptedServer()
    server.script = constant(*3 * [(200, answer())], (200, answer(4)), (200, answer()))
    html = folder / "report.html"

    async def run() -> tuple[int, str, str]:
        async with server.running() as target:
            url = f"http://127.0.0.1:{target.port}"
            options = ("--seconds", 0.3, "--warmup-seconds", 0.1, "--html", html)
            return await ended("--url", url, "--images", folder, *options)

    code, out, err = asyncio.run(run())
    assert (code, err) == (1, "")
    document: dict[str, Any] = json.loads(out.splitlines()[-1])
    assert (document["wrong"], document["photos"], document["top1"]) == (1, 3, 0)
    assert document["errors_by_status"] == {}
    assert document["server"] is None  # it is the one that started the tool
    text = html.read_text()
    assert text.count("<svg") == 3
    assert "Latency by percentile" in text
    assert not re.search(r"\$|src=|href=|@import|url\(", text)


def test_a_report_without_a_place_is_refused_before_the_run(folder: Path) -> None:
    nowhere = folder / "nowhere" / "report.html"
    url = "http://127.0.0.1:1"  # nobody there: it is not asked
    code, out, err = asyncio.run(ended("--url", url, "--images", folder, "--html", nowhere))
    assert (code, out) == (1, "")
    assert "no such folder to write the report into" in err


def test_the_command_sweeps_and_finds_nothing_that_stands(folder: Path) -> None:
    server = ScriptedServer()
    server.script = constant(*3 * [(200, answer())], (429, b'{"code": "overloaded"}'))
    html = folder / "report.html"

    async def run() -> tuple[int, str, str]:
        async with server.running() as target:
            url = f"http://127.0.0.1:{target.port}"
            options = ("--sweep", "--rate", 200, "--seconds", 0.1, "--warmup-seconds", 0)
            return await ended("--url", url, "--images", folder, "--html", html, *options)

    code, out, err = asyncio.run(run())
    assert (code, err) == (0, "")
    document = json.loads(out.splitlines()[-1])
    assert document["highest_rate"] == 0
    assert [run["rate"] for run in document["runs"][:3]] == [200, 100, 50]
    assert document["runs"][0]["errors_by_code"].keys() == {"overloaded"}
    assert html.read_text().count("<svg") == 4


@pytest.mark.parametrize("options", [(), ("--api-key", "the-new-key,the-old-key")])
def test_the_first_key_is_sent_and_never_shown(
    folder: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    if not options:
        monkeypatch.setenv("CLASSIFIER_API_KEYS", "the-new-key the-old-key")
    server = ScriptedServer()
    server.script = constant((200, answer()))
    html = folder / "report.html"

    async def run() -> tuple[int, str, str]:
        async with server.running() as target:
            url = f"http://127.0.0.1:{target.port}"
            short = ("--seconds", 0.1, "--warmup-seconds", 0, "--html", html)
            return await ended("--url", url, "--images", folder, *short, *options)

    code, out, err = asyncio.run(run())
    assert (code, err) == (0, "")
    assert server.heads
    assert all("\r\nAuthorization: Bearer the-new-key\r\n" in head for head in server.heads)
    assert "-key" not in out + html.read_text()


def test_a_server_of_the_tools_own_asks_for_no_key(
    small_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLASSIFIER_API_KEYS", "a-key-of-sixteen-letters")
    monkeypatch.setenv("CLASSIFIER_WORKERS", "1")
    settings = read_settings(model_dir=small_bundle)
    photo = io.BytesIO()
    Image.new("RGB", (80, 70)).save(photo, "PNG")

    async def run() -> int:
        async with running_server(settings) as target:
            connections = Connections(target, 1)
            response = await connections.exchange(target.post_photo(photo.getvalue()))
            connections.close()
            return response.status

    assert asyncio.run(run()) == 200


def test_ctrl_c_prints_what_there_is(folder: Path) -> None:
    async def run() -> tuple[int, str, str]:
        enough = asyncio.Event()
        server = ScriptedServer()

        async def script(_: str) -> Reply:
            if len(server.heads) > 500:  # far more than come before the measured ones
                enough.set()
            return 200, answer()

        server.script = script
        async with server.running() as target:
            url = f"http://127.0.0.1:{target.port}"
            options = ("--seconds", 600, "--warmup-seconds", 0, "--concurrency", 2)
            return await ended("--url", url, "--images", folder, *options, ctrl_c=enough)

    code, out, err = asyncio.run(run())
    assert (code, err) == (0, "")
    document = json.loads(out.splitlines()[-1])
    assert document["requests"] > 20
    assert document["seconds"] < 60


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ((503, b'{"code": "worker_lost"}'), "503 worker_lost"),
        ((200, b"hello"), "Expecting value"),
        (None, "ConnectionResetError"),
    ],
)
def test_without_first_answers_there_is_no_run(reply: Reply, said: str) -> None:
    server = ScriptedServer()
    server.script = constant(reply)

    async def run() -> None:
        async with server.running() as target:
            await ask_reference(Connections(target, 1), PHOTOS, "")

    with pytest.raises(StartupError, match=f"photo-black got no first answer.*{said}"):
        asyncio.run(run())


# --- processes

FAMILY = """
import os, socket, sys, time

def work(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass

listener, other = os.fork(), 1
if listener:
    other = os.fork()
if not listener:
    server = socket.create_server(("127.0.0.1", 0))
    print(server.getsockname()[1], flush=True)
    time.sleep(600)
elif not other:
    work(0.3)
    print("worked", flush=True)
    time.sleep(600)
for line in sys.stdin:
    os.kill(other, 9)
    os.waitpid(other, 0)
    print("gone", flush=True)
os.kill(listener, 9)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_server_is_its_listener_the_parent_and_the_children_that_died() -> None:
    command = [sys.executable, "-c", FAMILY]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as family:
        assert family.stdin
        assert family.stdout
        said = {family.stdout.readline().strip(), family.stdout.readline().strip()}
        (port,) = said - {"worked"}
        roots = processes.server_roots(int(port))
        assert roots == {family.pid}
        before = processes.usage(roots)
        print(file=family.stdin, flush=True)
        assert family.stdout.readline() == "gone\n"
        after = processes.usage(roots)
        family.stdin.close()
    assert before
    assert after
    assert (before.processes, after.processes) == (3, 2)
    assert 0.29 <= before.cpu_s <= after.cpu_s
    assert 0 < after.rss_bytes < before.rss_bytes
    assert processes.usage(roots) is None


def test_which_addresses_are_ours() -> None:
    assert processes.is_local("127.0.0.1")
    assert processes.is_local("localhost")
    assert not processes.is_local("192.0.2.1")  # for documentation only


def test_nobody_listens() -> None:
    assert processes.server_roots(1) == frozenset()
    assert processes.usage([]) is None
