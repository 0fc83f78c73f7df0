"""Many machines: a Ray cluster, over which Ray Data spreads the photos.

On each node an actor runs what one machine alone would run. The records come back to the process
of the command, which alone writes the table. So a lost node can neither lose nor double a row:
whatever has not come back is given out again.
"""

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Collection, Coroutine, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa
import ray
import uvloop
from ray import data
from ray.exceptions import RayError

from app.bulk.machine import Keep, Machine, running
from app.bulk.parquet import schema_of
from app.bulk.records import Record, Wishes
from app.errors import StartupError
from app.host import granted_cores
from app.model.bundle import Bundle, load_bundle
from app.settings import Settings

T = TypeVar("T")

# An actor gets this many photos at once, and two such blocks at a time, so that it never waits.
_BLOCK = 256
_BLOCKS_AT_ONCE = 2
# The command waits this long for the first node, because the nodes of a new cluster start one after
# another.
_NODE_TIMEOUT_S = 300.0
# The command gives up after this many rounds without a record.
_FRUITLESS_ROUNDS = 3
_LOCAL_STORE_BYTES = 256 * 2**20

log = logging.getLogger(__name__)


class Node:
    """The actor of one node: it runs decoders and workers on the cores that Ray grants it."""

    def __init__(self, version: str, settings: Settings, wishes: Wishes) -> None:
        # A decoder would import the program of Ray's worker again, which costs a second each time.
        vars(sys.modules["__main__"]).pop("__file__", None)
        bundle = load_bundle(settings.model_dir)
        if bundle.version != version:
            raise StartupError(
                f"{settings.model_dir} is version {bundle.version} on a node, and not {version}"
            )
        self._schema = schema_of(wishes.columns)
        self._loop = uvloop.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        # Without a reference, the garbage collector would end the block and stop the machine.
        self._block = running(bundle, settings, wishes)
        self._machine: Machine = self._run(self._block.__aenter__())

    def __call__(self, names: pa.Table) -> pa.Table:
        """Return the records of photos as a table."""
        records = self._run(self._records(names["path"].to_pylist()))
        return pa.Table.from_pylist(records, self._schema)

    async def _records(self, names: Sequence[str]) -> list[Record]:
        return [record async for group in self._machine.records(names) for record in group]

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def classify(
    names: Iterable[str],
    bundle: Bundle,
    settings: Settings,
    wishes: Wishes,
    keep: Keep,
    address: str,
) -> None:
    """Classify photos on the nodes of a cluster, and give `keep` their records as they come.

    Raises:
        StartupError: there is no such cluster, it has no node, or its nodes cannot classify.
    """
    _connect(address)
    try:
        left = dict.fromkeys(names)
        fruitless = 0
        while left and fruitless < _FRUITLESS_ROUNDS:
            before = len(left)
            try:
                for records in _round(left, bundle.version, settings, wishes):
                    # A block may come twice when a node is lost.
                    new = [record for record in records if record["path"] in left]
                    keep(new)
                    for record in new:
                        del left[record["path"]]
            except RayError as error:
                log.warning("a node was lost or failed: %s", _reason(error))
            fruitless = 0 if len(left) < before else fruitless + 1
    finally:
        ray.shutdown()
    if left:
        raise StartupError("no node of the cluster classifies anything; the lines above say why")


def _connect(address: str) -> None:
    # Ray would send statistics to its makers.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    settings: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address == "local":
        settings |= {"num_cpus": granted_cores(), "include_dashboard": False}
        settings |= {"object_store_memory": _LOCAL_STORE_BYTES}
    try:
        ray.init(address, **settings)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise StartupError(f"there is no Ray cluster at {address}: {error}") from error
    context = data.DataContext.get_current()
    context.enable_progress_bars = False


def _round(
    names: Collection[str], version: str, settings: Settings, wishes: Wishes
) -> Iterator[list[Record]]:
    """Give photos to the nodes that are there now, and yield the records that come back.

    Raises:
        RayError: a node was lost.
        StartupError: there is no node.
    """
    size = _size(_node_cores())
    cores = {"workers": size.cores, "decoders": size.cores, "api_keys": (), "admin_key": None}
    remaining = iter(list(names))
    blocks = iter(lambda: list(islice(remaining, _BLOCK)), [])
    records = data.from_arrow([pa.table({"path": block}) for block in blocks]).map_batches(
        Node,
        batch_size=None,
        batch_format="pyarrow",
        fn_constructor_args=(version, settings.model_copy(update=cores), wishes),
        num_cpus=size.cores,
        compute=data.ActorPoolStrategy(
            min_size=1,
            initial_size=size.actors,
            max_tasks_in_flight_per_actor=2 * _BLOCKS_AT_ONCE,
            max_concurrent_calls_per_actor=_BLOCKS_AT_ONCE,
            enable_true_multi_threading=True,
        ),
        # Ray would start a lost actor again and keep its photos for it, for ever if no other node
        # has room for the actor.
        max_restarts=0,
    )
    tables: Iterable[Any] = records.iter_batches(batch_size=None, batch_format="pyarrow")
    for table in tables:
        yield table.to_pylist()


class Size(NamedTuple):
    """The actors of a cluster.

    Attributes:
        cores: of each actor.
        actors: their number.
    """

    cores: int
    actors: int


def _size(nodes: Sequence[int]) -> Size:
    """Return the largest actors that fit on each node, and how many of them fit on all."""
    cores = min(nodes)
    return Size(cores, sum(node // cores for node in nodes))


def _node_cores() -> Sequence[int]:
    """Return the cores that Ray may use on each node, after the first node is there."""
    end = time.monotonic() + _NODE_TIMEOUT_S
    while time.monotonic() < end:
        nodes = ray.nodes()  # type: ignore[no-untyped-call]
        alive = [node["Resources"] for node in nodes if node["Alive"]]
        if cores := [int(one["CPU"]) for one in alive if one.get("CPU", 0) >= 1]:
            return cores
        time.sleep(1)
    raise StartupError("the cluster has no node with a core")


def _reason(error: Exception) -> str:
    """Return the last line of an error of Ray, which repeats a node's traceback."""
    return str(error).strip().rpartition("\n")[2]
