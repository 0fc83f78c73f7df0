"""Reference answers, and what the load tool says of later answers."""

import asyncio

import pytest
from scripted_server import PHOTOS, Reply, ScriptedServer, answer, constant

from app.bench.load.answers import Top, Verdict, accuracy, ask_reference, judge
from app.bench.load.client import Connections, Response
from app.errors import StartupError


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


def test_first_answers_are_held_against_the_labels() -> None:
    async def run() -> float | None:
        async with ScriptedServer().running() as target:
            connections = Connections(target, 1)
            cases = await ask_reference(connections, PHOTOS, "")
            connections.close()
            return accuracy(cases)

    assert asyncio.run(run()) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ((503, b'{"code": "worker_lost"}'), "503 worker_lost"),
        ((200, b"hello"), "Expecting value"),
        (None, "ConnectionResetError"),
    ],
)
def test_without_first_answers_there_is_no_run(reply: Reply, reason: str) -> None:
    server = ScriptedServer()
    server.script = constant(reply)

    async def run() -> None:
        async with server.running() as target:
            await ask_reference(Connections(target, 1), PHOTOS, "")

    with pytest.raises(StartupError, match=f"photo-black got no reference answer.*{reason}"):
        asyncio.run(run())
