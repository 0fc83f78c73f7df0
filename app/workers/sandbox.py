"""What a decoder process may still do: compute, and answer through the pipe that it has.

None of it needs root, and what the platform lacks is left out: seccomp needs Linux on x86-64.
"""

import ctypes
import errno
import os
import platform
import resource
import struct
import sys

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP = 38, 22  # Linux's prctl.h
_SECCOMP_MODE_FILTER = 2
# Numbers of x86-64's system calls: memory, locks, clocks, signals of its own, and the open pipe.
_ALLOWED = {
    "read": 0,
    "write": 1,
    "close": 3,
    "fstat": 5,
    "poll": 7,
    "lseek": 8,
    "mmap": 9,
    "mprotect": 10,
    "munmap": 11,
    "brk": 12,
    "rt_sigaction": 13,
    "rt_sigprocmask": 14,
    "rt_sigreturn": 15,
    "sched_yield": 24,
    "mremap": 25,
    "madvise": 28,
    "setitimer": 38,
    "getpid": 39,
    "exit": 60,
    "getrusage": 98,
    "gettid": 186,
    "futex": 202,
    "restart_syscall": 219,
    "clock_gettime": 228,
    "exit_group": 231,
    "set_robust_list": 273,
    "getrandom": 318,
    "rseq": 334,
}
# glibc starts a thread with exactly these flags of `clone`; a process needs others. It tries
# `clone3` first, whose flags a filter cannot see, and uses `clone` where the former is absent.
_CLONE, _CLONE3, _THREAD_FLAGS = 56, 435, 0x3D0F00
# Instructions of the kernel's packet filter: (code, jump if true, jump if false, operand).
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_OFFSET_OF_CALL, _OFFSET_OF_ARCHITECTURE, _OFFSET_OF_ARGUMENT = 0, 4, 16
_X86_64 = 0xC000003E
_KILL, _ALLOW = 0x80000000, 0x7FFF0000
_REFUSE, _ABSENT = 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
_Program = list[tuple[int, int, int, int]]


def enter(memory_bytes: int, threads: bool = False) -> None:
    """Give up, for good, all that decoding does not need.

    Args:
        memory_bytes: how much the process may allocate beyond what it has mapped by now.
        threads: whether it may start threads, which libheif needs. Processes are refused in any
            case on x86-64; elsewhere the kernel's limit does not tell them from threads.
    """
    mapped = _mapped_bytes()
    if mapped:
        resource.setrlimit(resource.RLIMIT_AS, (mapped + memory_bytes,) * 2)
    for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE):
        resource.setrlimit(limit, (0, 0))
    if hasattr(resource, "RLIMIT_NPROC") and not threads:
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        _prctl(libc, _PR_SET_NO_NEW_PRIVS, 1, 0)
        if platform.machine() == "x86_64":
            _filter_calls(libc, _THREADS if threads else [])


def _mapped_bytes() -> int:
    """Return the size of the address space; 0 if the system does not say."""
    try:
        with open("/proc/self/statm") as file:  # noqa: PTH123  (the module imports little)
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def _filter_calls(libc: ctypes.CDLL, more: _Program) -> None:
    """Let every system call fail that is not allowed: no file, socket, process or signal."""
    program = _program(sorted(_ALLOWED.values()), more)
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    pointer = ctypes.create_string_buffer(struct.pack("HP", len(program), ctypes.addressof(code)))
    _prctl(libc, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(pointer))


# If the call starts a thread, these steps leave out the one behind them, which refuses.
_THREADS: _Program = [
    (_EQUAL, 0, 1, _CLONE3),
    (_RETURN, 0, 0, _ABSENT),
    (_EQUAL, 0, 2, _CLONE),
    (_LOAD, 0, 0, _OFFSET_OF_ARGUMENT),
    (_EQUAL, 1, 0, _THREAD_FLAGS),
]


def _program(allowed: list[int], more: _Program) -> _Program:
    """Return the filter: another architecture's call kills, an unknown call is refused.

    Args:
        allowed: the numbers of the calls that are allowed.
        more: steps for other calls; they refuse by going on, and allow by leaving out one step.
    """
    known = [
        (_EQUAL, len(allowed) - place + len(more), 0, number)
        for place, number in enumerate(allowed)
    ]
    return [
        (_LOAD, 0, 0, _OFFSET_OF_ARCHITECTURE),
        (_EQUAL, 1, 0, _X86_64),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _OFFSET_OF_CALL),
        *known,
        *more,
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]


def _prctl(libc: ctypes.CDLL, option: int, first: int, second: int) -> None:
    arguments = [ctypes.c_ulong(value) for value in (first, second, 0, 0)]
    if libc.prctl(option, *arguments):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
