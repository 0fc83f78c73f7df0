"""Probe a server's liveness until standard input ends, then print what it took.

    python tests/prober.py PORT PID

The probes come from a process of their own, so that no other client of the same test delays them.
On a busy machine, the server and the prober wait for a CPU at times. The kernel counts these waits,
and each probe tells how much of its time they were.
"""

import http.client
import json
import select
import sys
import time
from pathlib import Path

PAUSE_S = 0.05


def waited_s(pid: int | str) -> float:
    """Return how long a process's main thread was ready to run but had no CPU."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


def main(port: int, pid: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    probes = []
    while not select.select([sys.stdin], [], [], PAUSE_S)[0]:
        waited, started = waited_s(pid) + waited_s("self"), time.perf_counter()
        connection.request("GET", "/health/live")
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        took_s = time.perf_counter() - started
        probes.append((took_s, waited_s(pid) + waited_s("self") - waited))
    print(json.dumps(probes))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
