"""Probe a server's liveness until standard input ends; then print the seconds of each answer.

    python tests/prober.py PORT

The probes come from a process of their own, so that no other client of the same test delays them.
"""

import http.client
import json
import select
import sys
import time

PAUSE_S = 0.05


def main(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    times = []
    while not select.select([sys.stdin], [], [], PAUSE_S)[0]:
        started = time.perf_counter()
        connection.request("GET", "/health/live")
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        times.append(time.perf_counter() - started)
    print(json.dumps(times))


if __name__ == "__main__":
    main(int(sys.argv[1]))
