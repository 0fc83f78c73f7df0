"""CPU and memory of a family of processes, which the load tool finds by a port."""

import subprocess
import sys

import pytest

from app.bench.measure import processes

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
        lines = {family.stdout.readline().strip(), family.stdout.readline().strip()}
        (port,) = lines - {"worked"}
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
    # This address is reserved for documentation.
    assert not processes.is_local("192.0.2.1")


def test_nobody_listens() -> None:
    assert processes.server_roots(1) == frozenset()
    assert processes.usage([]) is None
