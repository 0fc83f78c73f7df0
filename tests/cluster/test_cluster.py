"""`classify --ray` on a cluster of three nodes on this machine, one of which is killed half-way.

`make ray` runs it.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from many_photos import BROKEN, add_broken, assert_each_once, draw_photos, rows
from ray.cluster_utils import Cluster
from running import until

from app.bench.measure.launch import free_port

ROOT = Path(__file__).parents[2]
_STARTS = 8
_NODE: dict[str, Any] = {"object_store_memory": 80 * 2**20, "include_log_monitor": False}


class TwoNodes(NamedTuple):
    """A cluster of two nodes, and a head that runs no actor."""

    cluster: Cluster
    second: Any


@pytest.fixture
def nodes() -> Iterator[TwoNodes]:
    cluster = Cluster()
    try:
        started(cluster, num_cpus=0, include_dashboard=False)
        started(cluster, num_cpus=1)
        yield TwoNodes(cluster, started(cluster, num_cpus=1))
    finally:
        cluster.shutdown()  # type: ignore[no-untyped-call]


def started(cluster: Cluster, **options: Any) -> Any:  # noqa: ANN401  (nodes of Ray are not typed)
    """Start a node. On a busy machine Ray may need more time than it allows itself."""
    for _ in range(_STARTS):
        ports: dict[str, Any] = {
            "metrics_agent_port": free_port(),
            "metrics_export_port": free_port(),
        }
        # Ray raises no class of its own here.
        with suppress(Exception):
            return cluster.add_node(**_NODE, **ports, **options)
    pytest.fail("no node of Ray starts; its logs are in the newest folder of /tmp/ray")


def command(folder: Path, output: Path, bundle: Path, *more: str) -> list[str]:
    words = [folder, "--output", output, "--model-dir", bundle, *more]
    return [sys.executable, "-m", "app", "classify", *map(str, words)]


def test_a_node_that_is_killed_half_way_loses_and_doubles_nothing(
    tmp_path: Path, small_bundle: Path, nodes: TwoNodes
) -> None:
    folder, output, alone = tmp_path / "photos", tmp_path / "table", tmp_path / "alone.parquet"
    photos = draw_photos(folder, 4000) | add_broken(folder)
    arguments = command(folder, output, small_bundle, "--ray", nodes.cluster.address)
    with subprocess.Popen(
        arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        until(lambda: process.poll() is not None or written(output) > 500, timeout_s=240)
        assert process.poll() is None
        nodes.cluster.remove_node(nodes.second, allow_graceful=False)
        assert written(output) < len(photos)
        out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err.decode()
    assert "4,004 photos: 4,000 classified, 4 errors; it took" in out.decode().splitlines()[-1]
    assert_each_once(output, photos)
    codes = {Path(str(row["path"])).name: row["error_code"] for row in rows(output)}
    assert {photo: code for photo, code in codes.items() if code} == BROKEN
    subprocess.run(command(folder, alone, small_bundle), cwd=ROOT, check=True)
    assert in_order(output) == in_order(alone)


def in_order(output: Path) -> list[dict[str, object]]:
    """Return the rows by path, without scores, which batches of another size round otherwise."""
    found = sorted(rows(output), key=lambda row: str(row["path"]))
    for row in found:
        row["score"] = row["scores"] = None
    return found


def written(output: Path) -> int:
    return sum(file.read_bytes().count(b"\n") for file in output.glob("_part-*.jsonl"))
