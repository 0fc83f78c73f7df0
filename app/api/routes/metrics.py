"""`GET /metrics`: the metrics in Prometheus's text format."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from app.api.dependencies import ServiceDep

router = APIRouter(tags=["metrics"])


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(service: ServiceDep) -> Response:
    """Return all metrics in Prometheus's text format."""
    cap = service.pool.batch_cap
    service.metrics.observe_batch_sizes(cap.size, cap.seconds)
    return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)
