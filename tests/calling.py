"""A client of gRPC, made of the stubs that come with Triton's client, and uploads that stall."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import grpc
from running import RunningServer
from tritonclient.grpc import service_pb2, service_pb2_grpc

from app.bench.measure.launch import free_port

ADDRESS = "127.0.0.1"
INFER = "/inference.GRPCInferenceService/ModelInfer"

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS = 0, 1, 4
_END_HEADERS = 4


@dataclass(frozen=True)
class Outcome:
    """How a call has ended.

    Attributes:
        code: the name of gRPC's status.
        details: the words of an error.
        trailers: what the server has sent behind the answer.
        answer: the answer, or None after an error.
    """

    code: str
    details: str
    trailers: Mapping[str, str]
    answer: Any = None

    @property
    def outcome(self) -> str:
        """The service's own code of an error, or "ok"."""
        return self.trailers.get("classifier-code", "ok" if self.answer else self.code)


@dataclass
class Caller:
    """A client with a connection of its own."""

    port: int
    model: str
    channel: grpc.Channel = field(init=False)

    def __post_init__(self) -> None:
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]
        self.channel = grpc.insecure_channel(f"{ADDRESS}:{self.port}", options=options)
        self.stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(self.channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def request(self, *photos: bytes, classes: int = 1, **fields: object) -> Any:  # noqa: ANN401
        """Return a request with photos as Triton's client sends them."""
        raw = b"".join(len(photo).to_bytes(4, "little") + photo for photo in photos)
        tensor = {"name": "image", "datatype": "BYTES", "shape": [len(photos)]}
        output = {"name": "scores", "parameters": {"classification": {"int64_param": classes}}}
        known = {"inputs": [tensor], "outputs": [output], "raw_input_contents": [raw]}
        return service_pb2.ModelInferRequest(**{"model_name": self.model, **known, **fields})

    def infer(self, *photos: bytes, timeout_s: float = 60, **metadata: str) -> Outcome:
        """Send photos, and return how the call ended."""
        return self.send(self.request(*photos), timeout_s, **metadata)

    def send(self, request: object, timeout_s: float = 60, **metadata: str) -> Outcome:
        """Send a request, and return how the call ended."""
        return ended(self.start(request, timeout_s, **metadata))

    def start(self, request: object, /, timeout_s: float = 60, **metadata: Any) -> Any:  # noqa: ANN401
        """Send a request, and return the call."""
        named = [(name.replace("_", "-").lower(), value) for name, value in metadata.items()]
        return self.stub.ModelInfer.future(request, timeout=timeout_s, metadata=named)


def ended(call: Any) -> Outcome:  # noqa: ANN401
    """Wait for the end of a call, and return it."""
    trailers = {name: str(value) for name, value in call.trailing_metadata() or ()}
    answer = call.result() if call.code() is grpc.StatusCode.OK else None
    return Outcome(call.code().name, call.details() or "", trailers, answer)


def labels(answer: Any) -> list[str]:  # noqa: ANN401
    """Return the labels in an answer that names the likeliest classes."""
    (raw,), found = answer.raw_output_contents, []
    while raw:
        end = 4 + int.from_bytes(raw[:4], "little")
        found.append(raw[4:end].decode().split(":", 2)[2])
        raw = raw[end:]
    return found


def grpc_settings(**settings: object) -> dict[str, object]:
    """Return the settings of a server that speaks gRPC on a free port."""
    return {"dialects": "oip,oip-grpc", "grpc_port": free_port(), "workers": 1, **settings}


def caller_of(server: RunningServer, port: object) -> Caller:
    """Return a client of a running server."""
    assert isinstance(port, int)
    return Caller(port, server.health()["model"]["name"])


def stalled_upload(port: int, announced: int, sent: int) -> socket.socket:
    """Return a connection that has sent `sent` bytes of a message of `announced` bytes."""
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": INFER,
        ":authority": "test",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    # HPACK: each header is a literal with a new name, which no table keeps.
    block = b"".join(
        b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in headers.items()
    )
    message = b"\0" + announced.to_bytes(4, "big") + b"x" * sent
    connection = socket.create_connection((ADDRESS, port))
    connection.sendall(
        _PREFACE
        + _frame(_SETTINGS, 0, 0, b"")
        + _frame(_HEADERS, _END_HEADERS, 1, block)
        + _frame(_DATA, 0, 1, message)
    )
    return connection


def _frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    head = len(content).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
    return head + content
