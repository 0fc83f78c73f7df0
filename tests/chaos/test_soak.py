"""Half an hour of load: `make soak`, `make soak MINUTES=1`.

The server with default settings and real weights serves a mixed crowd that keeps both cores busy.
In the first of six periods, Python, glibc and Paddle fill the memory that they keep. After that,
memory must not grow. The decoders are counted together, because costly files end some of them.
"""

import os
from pathlib import Path

from crowd import run, settled
from faults import descriptors, resident_bytes
from running import RunningServer, until
from tally import Tally

from clients import CROWD, MAX_UPLOAD_BYTES, UPLOAD_TIMEOUT_S, Deed, hungry, large

MINUTES = float(os.environ.get("SOAK_MINUTES", "0.5"))
PERIODS = 6
DECODERS = 2
SETTINGS = {
    "workers": 2,
    "decoders": DECODERS,
    "max_batch_size": None,
    "longest_wait_s": None,
    "max_upload_bytes": MAX_UPLOAD_BYTES,
    "upload_timeout_s": UPLOAD_TIMEOUT_S,
}
DEEDS: tuple[Deed, ...] = (*CROWD, *[hungry] * 16, large)
# test_chaos.py explains this number.
SPARE_BYTES = 60_000_000


def test_under_a_mixed_load_memory_does_not_grow(default_bundle: Path, tmp_path: Path) -> None:
    tally = Tally()
    with RunningServer(default_bundle, tmp_path / "log", **SETTINGS) as server:
        pids = [server.process.pid, *server.workers()]
        resident: list[list[int]] = []
        for period in range(PERIODS):
            run(server, tally, 60 * MINUTES / PERIODS, deeds=DEEDS)
            until(lambda: settled(server))
            until(lambda: len(server.decoders()) == DECODERS)
            decoders = sum(resident_bytes(pid) for pid in server.decoders())
            resident.append([*(resident_bytes(pid) for pid in pids), decoders])
            shown = ", ".join(f"{size / 1e6:.0f}" for size in resident[-1])
            minute = MINUTES * (period + 1) / PERIODS
            print(
                f"\n  minute {minute:.1f}: {shown} MB, {descriptors(pids[0])} descriptors", end=""
            )
        print("", tally.table(), sep="\n")
        assert not tally.wrong
        # The server has lost no worker.
        assert [server.process.pid, *server.workers()] == pids
    first, *later = resident
    for sizes in later:
        assert all(now < then + SPARE_BYTES for now, then in zip(sizes, first, strict=True))
