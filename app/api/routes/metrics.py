"""`GET /metrics`: the metrics in Prometheus's text format, or in that of OpenMetrics."""

import gzip

from fastapi import APIRouter, Request, Response

from app.api.accept import prefers, takes_gzip
from app.api.routes.direct import DirectRoute
from app.serving.service import Service
from app.telemetry.exposition import OPEN_METRICS, TEXT, open_metrics, text

router = APIRouter(tags=["metrics"], route_class=DirectRoute)

# Level 1 makes the text seven times smaller; level 9 takes five times as long for 10 % more.
_LEVEL = 1


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=Response,
    responses={
        200: {
            "content": {
                "text/plain": {"schema": {"type": "string"}},
                "application/openmetrics-text": {"schema": {"type": "string"}},
            }
        }
    },
)
async def metrics(request: Request) -> Response:
    """Return all metrics in Prometheus's text format.

    With `Accept: application/openmetrics-text` they come in the format of OpenMetrics, which has
    exemplars if the service sends traces. With `Accept-Encoding: gzip` they are compressed.
    """
    service: Service = request.app.state.service
    service.observe()
    registry = service.metrics.registry
    accept = request.headers.get("accept", "")
    open_format = prefers(accept, "application/openmetrics-text", "text/plain")
    body = open_metrics(registry) if open_format else text(registry)
    headers = {"Vary": "Accept, Accept-Encoding"}
    if takes_gzip(request.headers.get("accept-encoding", "")):
        body = gzip.compress(body, _LEVEL)
        headers["Content-Encoding"] = "gzip"
    return Response(body, media_type=OPEN_METRICS if open_format else TEXT, headers=headers)
