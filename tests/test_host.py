"""The granted cores, read from cgroup folders that the tests write."""

import os
from pathlib import Path

import pytest

from app.host import Throttling, granted_cores, multiplies_bytes, throttling


@pytest.fixture(autouse=True)
def affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def v1(cgroup: Path, quota: str, period: str = "100000") -> Path:
    (cgroup / "cpu").mkdir(exist_ok=True)
    (cgroup / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (cgroup / "cpu" / "cpu.cfs_period_us").write_text(f"{period}\n")
    return cgroup


def v2(cgroup: Path, content: str) -> Path:
    (cgroup / "cpu.max").write_text(content)
    return cgroup


@pytest.mark.parametrize(
    ("content", "cores"),
    [
        ("200000 100000\n", 2),
        ("25000 50000\n", 1),
        # Half a core is enough for another worker.
        ("150000 100000\n", 2),
        ("10000 100000\n", 1),
        # The affinity grants only 8 cores.
        ("1600000 100000\n", 8),
        ("max 100000\n", 8),
        ("", 8),
        ("much\n", 8),
    ],
)
def test_version_2_quota(tmp_path: Path, content: str, cores: int) -> None:
    assert granted_cores(v2(tmp_path, content)) == cores


@pytest.mark.parametrize(
    ("quota", "cores"), [("300000", 3), ("50000", 1), ("250000", 3), ("-1", 8), ("", 8)]
)
def test_version_1_quota(tmp_path: Path, quota: str, cores: int) -> None:
    assert granted_cores(v1(tmp_path, quota)) == cores


def test_version_1_counts_where_version_2_says_nothing(tmp_path: Path) -> None:
    assert granted_cores(v1(v2(tmp_path, "max 100000\n"), "300000")) == 3


def test_without_cgroups_the_affinity_counts(tmp_path: Path) -> None:
    assert granted_cores(tmp_path) == 8


@pytest.mark.parametrize(("count", "cores"), [(6, 6), (None, 1)])
def test_without_affinity_the_machine_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int | None, cores: int
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert granted_cores(tmp_path) == cores


def test_version_2_throttling(tmp_path: Path) -> None:
    stat = "usage_usec 9\nnr_periods 10\nnr_throttled 3\nthrottled_usec 2500000\n"
    (tmp_path / "cpu.stat").write_text(stat)
    assert throttling(tmp_path) == Throttling(10, 3, 2.5)


def test_version_1_throttling(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    stat = "nr_periods 10\nnr_throttled 3\nthrottled_time 2500000000\n"
    (tmp_path / "cpu" / "cpu.stat").write_text(stat)
    assert throttling(tmp_path) == Throttling(10, 3, 2.5)


@pytest.mark.parametrize("content", ["", "usage_usec 9\n", "nr_periods many\n"])
def test_without_a_limit_nothing_is_throttled(tmp_path: Path, content: str) -> None:
    (tmp_path / "cpu.stat").write_text(content)
    assert throttling(tmp_path) is None


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        ("flags\t\t: fpu avx2 avx512_vnni amx_int8\n", True),
        ("flags\t\t: fpu avx2 avx_vnni\n", True),
        ("Features\t: fp asimd asimddp\n", True),
        ("flags\t\t: fpu avx2 avx512f\n", False),
        ("", False),
    ],
)
def test_instructions_for_8_bits(tmp_path: Path, flags: str, found: bool) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\n" + flags)
    assert multiplies_bytes(tmp_path / "cpuinfo") == found


def test_a_system_that_does_not_tell_is_trusted(tmp_path: Path) -> None:
    assert multiplies_bytes(tmp_path / "cpuinfo")
