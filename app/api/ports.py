"""The port that the service listens on: bound at the start, opened when the service is ready."""

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from app.errors import StartupError

# Clients cannot connect to these addresses, so the log shows the loopback address instead.
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (they are only compared)
_FOREIGN_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


# What an operator sets to choose another port; `{port}` is one that may be free.
HTTP_PORT = "--port (make serve PORT={port})"
GRPC_PORT = "CLASSIFIER_GRPC_PORT={port}"


@contextmanager
def bound(host: str, port: int, remedy: str = HTTP_PORT) -> Iterator[list[socket.socket]]:
    """Yield a socket for each address of `host`, bound to `port`; close them after the block.

    The sockets do not listen yet. The kernel refuses clients until the server listens.

    Raises:
        StartupError: the host is unknown or foreign, or the port is taken or not permitted.
    """
    with ExitStack() as stack:
        try:
            sockets = _bind(host, port, stack)
        except (OSError, UnicodeError) as error:
            raise StartupError(refusal(host, port, error, remedy)) from error
        yield sockets


def refusal(host: str, port: int, error: Exception, remedy: str = HTTP_PORT) -> str:
    """Return one line that says why the port cannot be used and what the operator can do."""
    number = getattr(error, "errno", None)
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return f"host {host} is unknown; name an address of this machine with --host"
    if number in _FOREIGN_ADDRESS:
        return f"{host} is not an address of this machine; name one of its addresses with --host"
    spare = port + 1 if 1024 <= port < 65_535 else 8001
    if number == errno.EADDRINUSE:
        reason = "is taken; choose another one"
    elif number == errno.EACCES:
        reason = "is reserved for root; choose a port above 1023"
    else:
        reason = f"cannot be opened ({error}); choose another one"
    return f"port {port} on {host} {reason} with {remedy.format(port=spare)}"


def local_url(host: str, listener: socket.socket) -> str:
    """Return the URL of `listener` for a browser on this machine; `host` is its configured name."""
    address, port = listener.getsockname()[:2]
    name = _LOOPBACK.get(address, host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def _bind(host: str, port: int, stack: ExitStack) -> list[socket.socket]:
    """Bind every address of `host` that this machine has.

    `localhost` may stand for an IPv6 address as well, which a machine without IPv6 does not have.

    Raises:
        OSError: an address cannot be bound, or the machine has none of them.
    """
    sockets: list[socket.socket] = []
    foreign: OSError | None = None
    passive = socket.AI_PASSIVE
    for info in socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=passive):
        family, _, _, _, address = info
        try:
            listener = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                # As asyncio does: an IPv4 address of the same host needs a socket of its own.
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
        except OSError as error:
            if error.errno not in _FOREIGN_ADDRESS:
                raise
            foreign = error
        else:
            sockets.append(listener)
    if foreign and not sockets:
        raise foreign
    return sockets
