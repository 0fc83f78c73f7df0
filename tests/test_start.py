"""The start of the real service: the port before the model, one-line errors, the URL at last."""

import errno
import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest
from running import RunningServer, start_error, until

from app.api.ports import bound, local_url, refusal
from app.errors import StartupError

HOSTS = {
    "127.0.0.1": "127.0.0.1",
    "localhost": "localhost",
    "0.0.0.0": "127.0.0.1",  # noqa: S104
    "": "127.0.0.1",
    "::1": "[::1]",
    "::": "[::1]",
}


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as one:
            one.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.fixture(autouse=True)
def _skip_without_ipv6(request: pytest.FixtureRequest) -> None:
    if "host" in request.fixturenames and ":" in request.getfixturevalue("host") and not has_ipv6():
        pytest.skip("this machine has no IPv6")


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("nowhere.invalid", "host nowhere.invalid is unknown"),
        ("a" * 80, "is unknown"),
        ("192.0.2.1", "192.0.2.1 is not an address of this machine"),
    ],
    ids=["unknown", "too long", "foreign"],
)
def test_a_host_that_is_not_ours_is_an_error_before_the_bundle_is_read(
    tmp_path: Path, host: str, reason: str
) -> None:
    line = start_error("--host", host, "--port", 0, "--model-dir", tmp_path)
    assert reason in line
    assert "--host" in line


@pytest.mark.parametrize(
    ("port", "code", "text"),
    [
        (80, errno.EACCES, "port 80 on h is reserved for root; choose a port above 1023"),
        (80, errno.EADDRINUSE, "(make serve PORT=8001)"),
        (65535, errno.EADDRINUSE, "(make serve PORT=8001)"),
        (9000, errno.ENOBUFS, "port 9000 on h cannot be opened"),
    ],
)
def test_a_refusal_names_the_port_and_the_remedy(port: int, code: int, text: str) -> None:
    line = refusal("h", port, OSError(code, os.strerror(code)))
    assert text in line
    assert "--port" in line


@pytest.mark.parametrize("host", HOSTS)
def test_the_url_of_every_host_is_one_that_this_machine_can_open(host: str) -> None:
    with bound(host, 0) as sockets:
        url = local_url(host, sockets[0])
        port = sockets[0].getsockname()[1]
        assert url == f"http://{HOSTS[host]}:{port}"
        name = HOSTS[host].strip("[]")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((name, port))
        for listener in sockets:
            listener.listen()
        socket.create_connection((name, port)).close()


def test_after_a_failure_no_socket_stays_bound(taken_port: int) -> None:
    with pytest.raises(StartupError), bound("127.0.0.1", taken_port):
        pass
    with bound("127.0.0.1", 0) as sockets:
        port = sockets[0].getsockname()[1]
    with closing(socket.create_server(("127.0.0.1", port))):
        assert sockets[0].fileno() == -1


@pytest.mark.parametrize(
    ("host", "log_format"),
    [("localhost", "json"), ("::1", "json"), ("0.0.0.0", "text")],  # noqa: S104
)
def test_the_last_line_of_the_start_is_a_url_that_answers(
    small_bundle: Path, tmp_path: Path, host: str, log_format: str
) -> None:
    settings = {"host": host, "port": 0, "log_format": log_format}
    server = RunningServer(
        small_bundle, tmp_path / "log", workers=1, max_batch_size=1, drain_delay_s=0, **settings
    )
    with ExitStack() as stack:
        stack.push(server)
        until(lambda: "Open http" in server.log.read_text())
        (found,) = re.findall(r"Open (http://\S+:\d+)\b", server.log.read_text().splitlines()[-1])
        assert found.startswith(f"http://{HOSTS[host]}:")
        assert httpx.get(f"{found}/health/ready").status_code == 200
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0


def test_clients_are_refused_until_the_model_is_loaded(small_bundle: Path, tmp_path: Path) -> None:
    server = RunningServer(small_bundle, tmp_path / "log", workers=1, max_batch_size=1)
    with ExitStack() as stack:
        stack.push(server)
        until(server.workers)
        (worker,) = server.workers()
        os.kill(worker, signal.SIGSTOP)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port))
        os.kill(worker, signal.SIGCONT)
        until(server.ready)


def test_a_port_that_another_process_opens_meanwhile_is_one_line(
    small_bundle: Path, tmp_path: Path
) -> None:
    """Two servers that start at the same time can both bind a port, but only one can open it."""
    with socket.socket() as rival:
        rival.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        rival.bind(("127.0.0.1", 0))
        port = rival.getsockname()[1]
        settings = {"port": port, "log_format": "json"}
        server = RunningServer(small_bundle, tmp_path / "log", workers=1, **settings)
        with ExitStack() as stack:
            stack.push(server)
            until(server.workers)
            rival.listen()
            assert server.process.wait(60) == 1
    *_, last = server.log.read_text().splitlines()
    assert last.startswith(f"error: port {port} on 127.0.0.1 is taken")
    assert "Traceback" not in server.log.read_text()
