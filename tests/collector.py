"""A collector that receives traces by OTLP over HTTP and keeps them."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span


def values(holder: Span | Resource) -> dict[str, str | int]:
    """Return the attributes of a span or of a resource."""
    return {one.key: _value(one) for one in holder.attributes}


def _value(one: KeyValue) -> str | int:
    value: str | int = getattr(one.value, str(one.value.WhichOneof("value")))
    return value


class Collector:
    """Receives traces on a free port of this machine."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.resources: list[Resource] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                body = self.rfile.read(int(self.headers["Content-Length"]))
                for sent in ExportTraceServiceRequest.FromString(body).resource_spans:
                    collector.resources.append(sent.resource)
                    for scope in sent.scope_spans:
                        collector.spans.extend(scope.spans)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def of_request(self, request_id: str) -> Span | None:
        """Return the span of the request with this id, or None if it has not arrived yet."""
        found = [s for s in self.spans if values(s).get("classifier.request_id") == request_id]
        assert len(found) < 2
        return found[0] if found else None

    def below(self, parent: Span) -> dict[str, Span]:
        """Return the children of a span by their names."""
        children = [s for s in self.spans if s.parent_span_id == parent.span_id]
        assert {child.trace_id for child in children} <= {parent.trace_id}
        return {child.name: child for child in children}
