"""Health: a summary for people, and two probes for Kubernetes with different meanings."""

from typing import Any

from fastapi import APIRouter, Response

from app import __version__
from app.api.dependencies import ServiceDep
from app.api.schemas import Health, Input, Model, Probe

router = APIRouter(prefix="/health", tags=["health"])


def _probe(*states: Any) -> dict[str, Any]:  # noqa: ANN401  (pydantic checks the states)
    """Return the documentation of an answer to a probe, with these states as examples."""
    examples = {state: {"value": Probe(status=state).model_dump()} for state in states}
    return {"model": Probe, "content": {"application/json": {"examples": examples}}}


@router.get("", summary="Summary of the service's state")
async def health(service: ServiceDep) -> Health:
    """Return the model, the state of the workers, and how much of the capacity is in use."""
    return Health(
        status=service.readiness,
        model=Model.of(service.bundle),
        input=Input.of(service.bundle),
        classes=service.pool.classes,
        vector_length=service.running.vector_length,
        engine=service.settings.engine,
        device=service.settings.device,
        workers=service.settings.worker_count,
        workers_up=service.pool.up,
        max_batch_size=service.pool.batch_cap.size,
        batch_ms={size: round(s * 1000, 2) for size, s in service.pool.batch_cap.seconds.items()},
        waiting=service.door.waiting,
        in_flight=service.admission.in_flight,
        in_flight_bytes=service.admission.bytes_held,
        capacity=service.admission.capacity,
        capacity_bytes=service.settings.capacity_bytes,
        version=__version__,
    )


@router.get(
    "/live",
    summary="Liveness: 503 if a restart would help",
    responses={200: _probe("alive"), 503: _probe("hopeless")},
)
async def live(service: ServiceDep, response: Response) -> Probe:
    """Answer 503 only if no worker is left and no new worker can be started."""
    if service.pool.hopeless:
        response.status_code = 503
        return Probe(status="hopeless")
    return Probe(status="alive")


@router.get(
    "/ready",
    summary="Readiness: 503 if no photos are accepted",
    responses={200: _probe("ready"), 503: _probe("not_ready", "draining")},
)
async def ready(service: ServiceDep, response: Response) -> Probe:
    """Answer 503 while no worker has loaded the model, and after SIGTERM.

    A service at full capacity is still ready.
    """
    if not service.ready:
        response.status_code = 503
    return Probe(status=service.readiness)
