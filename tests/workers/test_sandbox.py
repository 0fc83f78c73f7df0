"""What a process in the sandbox cannot do any more, each tried in a process of its own."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import _thread, ctypes, os, signal, socket, sys
from app.workers import sandbox
sandbox.enter(2**26, threads={threads})
try:
    {attempt}
except (OSError, MemoryError, RuntimeError) as error:
    print(type(error).__name__)
else:
    print("done")
"""
seccomp = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"),
    reason="the filter of system calls is for Linux on x86-64",
)


THREAD = """lock = _thread.allocate_lock(); lock.acquire()
    _thread.start_new_thread(lock.release, ()); lock.acquire()"""


def outcome(attempt: str, threads: bool = False) -> str:
    program = PROGRAM.format(attempt=attempt, threads=threads)
    return subprocess.check_output([sys.executable, "-c", program], text=True).strip()


def test_it_computes_and_answers() -> None:
    assert outcome("sum(range(10**6)); bytes(2**24)") == "done"


def test_memory_has_a_limit() -> None:
    assert outcome("bytes(2**27)") == "MemoryError"


@pytest.mark.parametrize("attempt", ["open('/etc/hostname')", "os.open('/tmp/new', os.O_CREAT)"])
def test_it_opens_no_file(attempt: str) -> None:
    assert outcome(attempt) in ("OSError", "PermissionError")


@seccomp
@pytest.mark.parametrize("threads", [False, True])
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
def test_every_other_system_call_is_refused(attempt: str, threads: bool) -> None:
    assert outcome(attempt, threads) == "PermissionError"


def test_it_starts_a_thread_only_where_it_may() -> None:
    assert outcome(THREAD) == "RuntimeError"
    assert outcome(THREAD, threads=True) == "done"


@seccomp
@pytest.mark.parametrize("flags", [0, 17, 0x4111, 0x3D0F00 | 0x10000000])
def test_other_flags_than_those_of_a_thread_are_refused(flags: int) -> None:
    """17 is a child process, 0x4111 one of `vfork`, and the last a thread in another namespace."""
    clone = f"libc = ctypes.CDLL(None, use_errno=True); libc.syscall(56, {flags}, 0, 0, 0, 0)"
    refused = f"{clone}; raise OSError(ctypes.get_errno(), 'refused')"
    assert outcome(refused, threads=True) == "PermissionError"
