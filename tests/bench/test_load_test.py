"""The command `bench` as a process, against a server that misbehaves as scripted."""

import asyncio
import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import Ended
from load_data import write_photos
from scripted_server import Reply, ScriptedServer, answer, constant


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_photos(tmp_path)
    return tmp_path


async def bench(*arguments: object, ctrl_c: asyncio.Event | None = None) -> Ended:
    """Run the command until it ends. Once the event is set, the command gets a Ctrl-C."""
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
            return Ended(process.returncode or 0, out.decode(), err.decode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.slow
def test_the_command_reports_wrong_answers(folder: Path) -> None:
    server = ScriptedServer()
    server.script = constant(*3 * [(200, answer())], (200, answer(4)), (200, answer()))
    html = folder / "report.html"

    async def run() -> Ended:
        async with server.running() as target:
            url = f"http://127.0.0.1:{target.port}"
            options = ("--seconds", 0.3, "--warmup-seconds", 0.1, "--html", html)
            return await bench("--url", url, "--images", folder, *options)

    code, out, err = asyncio.run(run())
    assert (code, err) == (1, "")
    document: dict[str, Any] = json.loads(out.splitlines()[-1])
    assert (document["wrong"], document["photos"], document["top1"]) == (1, 3, 0)
    assert document["errors_by_status"] == {}
    # The tool does not measure its own ancestors, and this server's process started the tool.
    assert document["server"] is None
    text = html.read_text()
    assert text.count("<svg") == 3
    assert "Latency by percentile" in text
    assert not re.search(r"\$|src=|href=|@import|url\(", text)


def test_a_report_without_a_place_is_refused_before_the_run(folder: Path) -> None:
    html = folder / "nowhere" / "report.html"
    # No server listens on this port, so a request would be another error.
    url = "http://127.0.0.1:1"
    code, out, err = asyncio.run(bench("--url", url, "--images", folder, "--html", html))
    assert (code, out) == (1, "")
    assert "the report's folder does not exist" in err


@pytest.mark.slow
def test_the_command_sweeps_and_finds_nothing_that_stands(folder: Path) -> None:
    server = ScriptedServer()
    server.script = constant(*3 * [(200, answer())], (429, b'{"code": "overloaded"}'))
    html = folder / "report.html"

    async def run() -> Ended:
        async with server.running() as target:
            url = f"http://127.0.0.1:{target.port}"
            options = ("--sweep", "--rate", 200, "--seconds", 0.1, "--warmup-seconds", 0)
            return await bench("--url", url, "--images", folder, "--html", html, *options)

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

    async def run() -> Ended:
        async with server.running() as target:
            url = f"http://127.0.0.1:{target.port}"
            short = ("--seconds", 0.1, "--warmup-seconds", 0, "--html", html)
            return await bench("--url", url, "--images", folder, *short, *options)

    code, out, err = asyncio.run(run())
    assert (code, err) == (0, "")
    assert server.heads
    assert all("\r\nAuthorization: Bearer the-new-key\r\n" in head for head in server.heads)
    assert "-key" not in out + html.read_text()


def test_ctrl_c_prints_what_there_is(folder: Path) -> None:
    async def run() -> Ended:
        enough = asyncio.Event()
        server = ScriptedServer()

        async def script(_: str) -> Reply:
            # By then, the server has answered far more than the three reference requests.
            if len(server.heads) > 500:
                enough.set()
            return 200, answer()

        server.script = script
        async with server.running() as target:
            url = f"http://127.0.0.1:{target.port}"
            options = ("--seconds", 600, "--warmup-seconds", 0, "--concurrency", 2)
            return await bench("--url", url, "--images", folder, *options, ctrl_c=enough)

    code, out, err = asyncio.run(run())
    assert (code, err) == (0, "")
    document = json.loads(out.splitlines()[-1])
    assert document["requests"] > 20
    assert document["seconds"] < 60
