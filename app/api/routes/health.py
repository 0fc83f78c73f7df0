"""Health: a summary for people, and two probes that mean different things."""

from fastapi import APIRouter, Response

from app import __version__
from app.api.dependencies import ServiceDep
from app.api.schemas import Health, Model, Probe

router = APIRouter(prefix="/health", tags=["health"])


@router.get("", summary="The service at a glance")
async def health(service: ServiceDep) -> Health:
    """Return the model, the workers and how full the service is."""
    return Health(
        status=service.readiness,
        model=Model.of(service.bundle),
        classes=service.pool.classes,
        engine=service.settings.engine,
        device=service.settings.device,
        workers=service.settings.worker_count,
        workers_up=service.pool.up,
        max_batch_size=service.pool.max_batch_size,
        batch_ms={size: round(s * 1000, 2) for size, s in service.pool.batch_seconds.items()},
        in_flight=service.admission.in_flight,
        in_flight_bytes=service.admission.bytes_held,
        capacity=service.admission.capacity,
        capacity_bytes=service.settings.capacity_bytes,
        version=__version__,
    )


@router.get("/live", summary="Would a restart help? 503 if so", responses={503: {"model": Probe}})
async def live(service: ServiceDep, response: Response) -> Probe:
    """Fail only when no worker is left and none can be started any more."""
    if service.pool.hopeless:
        response.status_code = 503
        return Probe(status="hopeless")
    return Probe(status="alive")


@router.get("/ready", summary="Are photos taken? 503 if not", responses={503: {"model": Probe}})
async def ready(service: ServiceDep, response: Response) -> Probe:
    """Fail while no worker has its model, and after SIGTERM. Being full is no reason."""
    if not service.ready:
        response.status_code = 503
    return Probe(status=service.readiness)
