"""Reloads of a real server under load: a new bundle takes over, and a bad bundle does not."""

import io
import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import httpx
import networks
import pytest
from PIL import Image
from running import RunningServer, until

from app.model.bundle import load_bundle

KEY = "a key of sixteen letters or more"


def slope() -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").save(file, "PNG")
    return file.getvalue()


PHOTO = slope()


@pytest.fixture(scope="module")
def other_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("bundles") / "other"
    networks.export_small(directory, seed=1)
    return directory


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory, small_bundle: Path) -> Path:
    """The model directory: a link to the served bundle, which an operator switches."""
    current = tmp_path_factory.mktemp("served") / "current"
    current.symlink_to(small_bundle)
    return current


@pytest.fixture(scope="module")
def shared(link: Path) -> Iterator[RunningServer]:
    settings = {"workers": 2, "admin_key": KEY, "log_format": "json", "max_batch_size": 4}
    settings |= {"batch_timeout_s": 60, "deadline_s": 60}
    with RunningServer(link, link.with_name("log"), **settings) as running:
        yield running


@pytest.fixture
def server(shared: RunningServer, link: Path, small_bundle: Path) -> Iterator[RunningServer]:
    """The shared server. After the test, it serves the small bundle again."""
    before = version(shared)
    yield shared
    switch(link, small_bundle)
    if version(shared) != before:
        # The answer is 409 while a reload of the test is still running.
        until(lambda: reload(shared).status_code == 200)
    until(lambda: shared.health()["workers_up"] == 2)


def switch(link: Path, directory: Path) -> None:
    link.unlink()
    link.symlink_to(directory)


def reload(server: RunningServer, key: str = KEY) -> httpx.Response:
    return server.client.post("/models/reload", headers={"Authorization": f"Bearer {key}"})


def version(server: RunningServer) -> str:
    return str(server.health()["model"]["version"])


def test_a_swap_under_load_loses_nothing(
    server: RunningServer, link: Path, other_bundle: Path
) -> None:
    answers: list[httpx.Response] = []
    over = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=server.url, timeout=60) as client:
            while not over.is_set():
                answers.append(client.post("/predict", files={"file": ("photo", PHOTO)}))

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    before, workers = version(server), set(server.workers())
    began = time.time()
    switch(link, other_bundle)
    response = reload(server)
    until(lambda: server.health()["workers_up"] == 2)
    over.set()
    for client in clients:
        client.join()
    assert response.status_code == 200, response.text
    assert response.json()["before"]["version"] == before
    assert response.json()["model"]["version"] == version(server) != before
    assert [answer.status_code for answer in answers] == [200] * len(answers)
    scores = {
        body["model"]["version"]: body["predictions"][0]["score"]
        for body in (answer.json() for answer in answers)
    }
    assert set(scores) == {before, version(server)}
    # Each network has its own scores.
    assert len(set(scores.values())) == 2
    assert workers.isdisjoint(server.workers())
    metrics = server.client.get("/metrics").text
    assert f'version="{version(server)}"' in metrics
    assert f'version="{before}"' not in metrics
    assert 'classifier_reloads_total{result="ok"} 0.0' not in metrics
    (last,) = re.findall(r"^classifier_last_reload_timestamp_seconds (.+)$", metrics, re.MULTILINE)
    assert began < float(last) < time.time()


def test_a_signal_does_the_same(server: RunningServer, link: Path, other_bundle: Path) -> None:
    before = version(server)
    switch(link, other_bundle)
    server.process.send_signal(signal.SIGHUP)
    until(lambda: version(server) != before)
    assert server.predict(PHOTO).status_code == 200


def test_a_signal_during_the_start_does_it_right_after(
    small_bundle: Path, other_bundle: Path, tmp_path: Path
) -> None:
    link = tmp_path / "current"
    link.symlink_to(small_bundle)
    server = RunningServer(link, tmp_path / "log", workers=1, log_format="json")
    # The worker loads the small bundle now.
    until(server.workers)
    switch(link, other_bundle)
    server.process.send_signal(signal.SIGHUP)
    with server:
        until(lambda: version(server) == load_bundle(other_bundle).version)
        assert server.predict(PHOTO).status_code == 200


def test_a_bundle_with_other_answers_is_refused_and_the_old_one_serves_on(
    server: RunningServer, link: Path, small_bundle: Path, tmp_path: Path
) -> None:
    before, scores = version(server), server.predict(PHOTO).json()["predictions"]
    bad = tmp_path / "bad"
    shutil.copytree(small_bundle, bad)
    config = (bad / "inference.yml").read_text(encoding="utf-8")
    (bad / "inference.yml").write_text(config.replace("score: 0.", "score: 1."), encoding="utf-8")
    switch(link, bad)
    response = reload(server)
    assert (response.status_code, response.json()["code"]) == (409, "reload_refused")
    assert 'reloads_total{result="refused"} 0.0' not in server.client.get("/metrics").text
    assert "golden answers" in response.json()["detail"]
    assert version(server) == before
    assert server.predict(PHOTO).json()["predictions"] == scores
    assert len(server.workers()) == 2


def test_a_bundle_that_is_none_is_refused_by_signal_too(
    server: RunningServer, link: Path, tmp_path: Path
) -> None:
    def refusals() -> int:
        return sum("new bundle is refused" in line["message"] for line in server.logged())

    before = refusals()
    switch(link, tmp_path)
    server.process.send_signal(signal.SIGHUP)
    until(lambda: refusals() > before)
    assert server.predict(PHOTO).status_code == 200


def test_a_link_that_leads_to_itself_is_refused(server: RunningServer, link: Path) -> None:
    switch(link, link)
    response = reload(server)
    assert (response.status_code, response.json()["code"]) == (409, "reload_refused")
    assert response.json()["detail"] == f"{link}: no such model directory"


def test_what_nobody_foresaw_is_in_the_log_with_its_traceback(
    server: RunningServer, link: Path, small_bundle: Path, tmp_path: Path
) -> None:
    odd = tmp_path / "odd"
    shutil.copytree(small_bundle, odd)
    # PyYAML raises an IndexError for this text.
    (odd / "inference.yml").write_text('Global: !!int ""')
    switch(link, odd)
    server.process.send_signal(signal.SIGHUP)

    def found() -> list[dict[str, Any]]:
        return [line for line in server.logged() if "IndexError" in line.get("exc_info", "")]

    until(found)
    (line,) = found()
    assert (line["level"], line["message"]) == ("ERROR", "the reload failed")
    assert server.predict(PHOTO).status_code == 200


def test_only_the_key_opens_it(server: RunningServer) -> None:
    response = reload(server, "another key of such a length")
    assert (response.status_code, response.json()["code"]) == (401, "unauthorized")
    assert "admin key" in response.json()["detail"]
    assert server.client.post("/models/reload").status_code == 401


def test_two_reloads_at_once_are_one(server: RunningServer) -> None:
    workers = server.workers()
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor(3) as clients:
        # The reload waits for this photo, because an old worker has it.
        photo = clients.submit(server.predict, PHOTO)
        until(lambda: server.health()["in_flight"] == 1)
        reloads = [clients.submit(reload, server) for _ in range(2)]
        ((refused,), _) = wait(reloads, return_when=FIRST_COMPLETED)
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
    assert refused.result().status_code == 409
    assert sorted(one.result().status_code for one in reloads) == [200, 409]
    assert photo.result().status_code == 200


def test_without_a_key_there_is_nothing(small_bundle: Path, tmp_path: Path) -> None:
    with RunningServer(small_bundle, tmp_path / "log", workers=1, max_batch_size=1) as server:
        response = reload(server)
        assert (response.status_code, response.json()["code"]) == (404, "not_found")


def test_the_end_of_the_drain_ends_a_reload_that_waits_for_the_last_old_request(
    small_bundle: Path, tmp_path: Path
) -> None:
    settings = {"workers": 1, "max_batch_size": 1, "admin_key": KEY, "log_format": "json"}
    settings |= {"batch_timeout_s": 60, "deadline_s": 60, "drain_delay_s": 0, "drain_timeout_s": 1}
    with (
        RunningServer(small_bundle, tmp_path / "log", **settings) as server,
        ThreadPoolExecutor(2) as clients,
    ):
        os.kill(server.workers()[0], signal.SIGSTOP)
        photo = clients.submit(server.predict, PHOTO)
        until(lambda: server.health()["in_flight"] == 1)
        swap = clients.submit(reload, server)
        until(lambda: sum("serving" in line["message"] for line in server.logged()) == 2)
        server.process.send_signal(signal.SIGTERM)
        answers = photo.result(), swap.result()
        assert [answer.json()["code"] for answer in answers] == ["draining"] * 2
        assert server.process.wait(30) == 0


def test_while_it_drains_no_new_bundle_is_started(small_bundle: Path, tmp_path: Path) -> None:
    settings = {"workers": 1, "max_batch_size": 1, "admin_key": KEY, "drain_delay_s": 600}
    with RunningServer(small_bundle, tmp_path / "log", **settings) as server:
        server.process.send_signal(signal.SIGTERM)
        until(lambda: not server.ready())
        response = reload(server)
        assert (response.status_code, response.json()["code"]) == (503, "draining")
        # The second signal ends the drain delay.
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0


def test_who_is_starting_when_the_end_begins_does_not_take_over(
    small_bundle: Path, tmp_path: Path
) -> None:
    settings = {"workers": 1, "max_batch_size": 1, "admin_key": KEY, "drain_delay_s": 600}
    with (
        RunningServer(small_bundle, tmp_path / "log", **settings) as server,
        ThreadPoolExecutor(1) as clients,
    ):
        old = server.zygote()
        swap = clients.submit(reload, server)
        until(lambda: len(server.zygotes()) == 2)
        # The new zygote stands still before it forks a worker, because it loads the library first.
        (new,) = set(server.zygotes()) - {old}
        os.kill(new, signal.SIGSTOP)
        server.process.send_signal(signal.SIGTERM)
        until(lambda: not server.ready())
        os.kill(new, signal.SIGCONT)
        assert swap.result().json()["code"] == "draining"
        # The second signal ends the drain delay.
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
