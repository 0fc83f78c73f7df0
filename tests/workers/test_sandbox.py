"""What a process in the sandbox cannot do any more, each tried in a process of its own."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, socket, sys
from app.workers import sandbox
sandbox.enter(2**26)
try:
    {attempt}
except (OSError, MemoryError) as error:
    print(type(error).__name__)
else:
    print("done")
"""
seccomp = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"),
    reason="the filter of system calls is for Linux on x86-64",
)


def outcome(attempt: str) -> str:
    program = PROGRAM.format(attempt=attempt)
    return subprocess.check_output([sys.executable, "-c", program], text=True).strip()


def test_it_computes_and_answers() -> None:
    assert outcome("sum(range(10**6)); bytes(2**24)") == "done"


def test_memory_has_a_limit() -> None:
    assert outcome("bytes(2**27)") == "MemoryError"


@pytest.mark.parametrize("attempt", ["open('/etc/hostname')", "os.open('/tmp/new', os.O_CREAT)"])
def test_it_opens_no_file(attempt: str) -> None:
    assert outcome(attempt) in ("OSError", "PermissionError")


@seccomp
@pytest.mark.parametrize(
    "attempt",
    [
        "socket.socket()",
        "os.fork()",
        "os.execv('/bin/true', ['true'])",
        "os.kill(os.getppid(), 0)",
        "os.unlink('/tmp/nothing')",
        "os.listdir('/')",
        "os.setuid(0)",
    ],
)
def test_every_other_system_call_is_refused(attempt: str) -> None:
    assert outcome(attempt) == "PermissionError"
