"""`classify --ray` on a cluster of three nodes on this machine, one of which is killed half-way.

`make ray` runs it. A node needs half a minute to start on a busy machine, and Ray gives up after
as long, so a node that has not started is started again.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple, Self

import pytest
from many_photos import BROKEN, add_broken, assert_each_once, draw_photos, rows
from running import until

from app.bench.measure.launch import free_port
from app.bench.measure.processes import descendants

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {
    "CLASSIFIER_MAX_BATCH_SIZE": "4",
    "RAY_AUTH_MODE": "token",
    # Any text of this length will do, because the cluster lives only as long as the test.
    "RAY_AUTH_TOKEN": "0123456789abcdef" * 4,
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_agent_register_timeout_ms": "200000",
}
ENVIRONMENT.pop("RAY_ADDRESS", None)
_STARTS = 6


class Node:
    """A node of a Ray cluster: `ray start --block` with all its processes."""

    def __init__(self, log: Path, *options: str) -> None:
        self._options = options
        self._log = log

    def __enter__(self) -> Self:
        for _ in range(_STARTS):
            self._start()
            until(lambda: self._process.poll() is not None or self._is_up(), timeout_s=180)
            if self._process.poll() is None:
                return self
            self.kill()
        pytest.fail(f"a node of Ray does not start: {self._log.read_text()}")

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """Kill every process of the node, as the loss of a machine would."""
        for pid in {self._process.pid, *descendants(self._process.pid)}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def _start(self) -> None:
        ports = ("--dashboard-agent-grpc-port", "--metrics-export-port")
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
        command += [*self._options, "--object-store-memory=80000000", "--disable-usage-stats"]
        command += ["--include-log-monitor=false", *(f"{one}={free_port()}" for one in ports)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, env=ENVIRONMENT, stdout=log, stderr=log, start_new_session=True
            )

    def _is_up(self) -> bool:
        return "This command will now block" in self._log.read_text()


class Cluster(NamedTuple):
    """A cluster whose head runs no actor."""

    address: str
    first: Node
    second: Node


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    port = free_port()
    head = ("--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false", "--no-monitor")
    with ExitStack() as nodes:
        nodes.enter_context(Node(tmp_path / "head.log", *head))
        log = (tmp_path / "head.log").read_text()
        address = log.split("--address='")[1].split("'")[0]
        join = (f"--address={address}", "--num-cpus=1")
        first, second = (
            nodes.enter_context(Node(tmp_path / f"{name}.log", *join)) for name in ("one", "two")
        )
        yield Cluster(address, first, second)


def command(folder: Path, output: Path, bundle: Path, *more: str) -> list[str]:
    words = [folder, "--output", output, "--model-dir", bundle, *more]
    return [sys.executable, "-m", "app", "classify", *map(str, words)]


def test_a_node_that_is_killed_half_way_loses_and_doubles_nothing(
    tmp_path: Path, small_bundle: Path, cluster: Cluster
) -> None:
    folder, output, alone = tmp_path / "photos", tmp_path / "table", tmp_path / "alone.parquet"
    photos = draw_photos(folder, 4000) | add_broken(folder)
    arguments = command(folder, output, small_bundle, "--ray", cluster.address)
    with subprocess.Popen(
        arguments, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        until(lambda: process.poll() is not None or written(output) > 500, timeout_s=240)
        assert process.poll() is None
        cluster.second.kill()
        assert written(output) < len(photos)
        out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err.decode()
    assert "4,004 photos: 4,000 classified, 4 errors; it took" in out.decode().splitlines()[-1]
    assert_each_once(output, photos)
    codes = {Path(str(row["path"])).name: row["error_code"] for row in rows(output)}
    assert {photo: code for photo, code in codes.items() if code} == BROKEN
    subprocess.run(command(folder, alone, small_bundle), cwd=ROOT, check=True, env=ENVIRONMENT)
    assert in_order(output) == in_order(alone)


def in_order(output: Path) -> list[dict[str, object]]:
    """Return the rows by path, without scores, which batches of another size round otherwise."""
    found = sorted(rows(output), key=lambda row: str(row["path"]))
    for row in found:
        row["score"] = row["scores"] = None
    return found


def written(output: Path) -> int:
    return sum(file.read_bytes().count(b"\n") for file in output.glob("_part-*.jsonl"))
