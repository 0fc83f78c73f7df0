"""The composition root: settings and a bundle in, a running service out."""

import asyncio
import gc
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from app import __version__, host
from app.api.middleware import Observe
from app.api.problems import handle_problems
from app.api.routes import health, index, metrics, models, predict
from app.api.server import DrainingServer
from app.model.bundle import Bundle, load_bundle
from app.serving.service import Service
from app.settings import Settings
from app.telemetry import loop_lag
from app.telemetry.logs import configure_logging, written_aside
from app.telemetry.metrics import Metrics
from app.telemetry.tracing import Traces
from app.workers.interfaces import PoolFactory
from app.workers.pool import WorkerPool


def create_app(settings: Settings, bundle: Bundle, pool_factory: PoolFactory) -> FastAPI:
    """Build the service. Nothing is kept outside of it, so a test may build ten.

    Raises:
        StartupError: traces are wanted, but cannot be sent.
    """
    traces = Traces(settings.traces)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        measures = Metrics()
        measures.build.info({"version": __version__})
        service = app.state.service = Service(settings, measures, pool_factory, traces.tracer)
        try:
            async with service.serving(bundle), loop_lag.watched(measures.loop_lag_seconds):
                yield
        finally:
            traces.flush()

    # Swagger UI's files come from this package: no content-delivery network is asked.
    app: FastAPI = FastAPIOffline(
        title="Photo classifier",
        description="What is in this photo? MobileNetV2 on PaddlePaddle.",
        version=__version__,
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,  # to http where TLS ends before us, and Node sends no body again
        generate_unique_id_function=lambda route: route.name,  # a generated client's functions
        telemetry=traces.telemetry,
    )
    for family in (predict, health, metrics, models, index):
        app.include_router(family.router)
    if not settings.api_keys:  # {}: or without one
        app.openapi()["paths"]["/predict"]["post"]["security"].append({})
    handle_problems(app)
    app.add_middleware(Observe)
    return app


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Raises:
        BundleError: the bundle cannot be used.
        StartupError: no worker can be started on it, or traces cannot be sent.
    """
    configure_logging(settings.log_level, settings.log_format)
    host.give_back_large_blocks()
    app = create_app(settings, load_bundle(settings.model_dir), WorkerPool)
    server = DrainingServer(app, settings)
    runner = asyncio.Runner(loop_factory=server.config.get_loop_factory())
    # Cancelled: by SIGTERM during the start.
    with written_aside(), suppress(asyncio.CancelledError), runner:
        runner.run(_serve(app, server))


async def _serve(app: FastAPI, server: DrainingServer) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task  # noqa: S101  (we are in it)
    loop.add_signal_handler(signal.SIGTERM, task.cancel)  # till uvicorn has its own handlers
    loop.add_signal_handler(signal.SIGHUP, server.reload)
    # Entered here and not by uvicorn, so that a failed start is our one line, not its traceback.
    async with app.router.lifespan_context(app):
        loop.remove_signal_handler(signal.SIGTERM)
        gc.freeze()  # what is here now stays: the collector need not look at it again and again
        await server.serve()
