"""The composition root: settings and a bundle in, a running service out."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import uvicorn
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from app import __version__, loop_lag
from app.bundle import Bundle, load_bundle
from app.logs import configure_logging
from app.metrics import Metrics
from app.middleware import Observe
from app.pool import EnginePool
from app.problems import handle_problems
from app.routes import health, index, metrics, predict
from app.server import DrainingServer
from app.service import ModelPool, Service
from app.settings import Settings

log = logging.getLogger(__name__)

PoolFactory = Callable[[Bundle, Settings, Metrics], AbstractAsyncContextManager[ModelPool]]


def create_app(settings: Settings, bundle: Bundle, pool_factory: PoolFactory) -> FastAPI:
    """Build the service. Nothing is kept outside of it, so a test may build ten."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        measures = Metrics()
        measures.model.info({"name": bundle.name, "version": bundle.version})
        measures.build.info({"version": __version__})
        watched = loop_lag.watched(measures.loop_lag_seconds)
        async with pool_factory(bundle, settings, measures) as pool, watched:
            service = app.state.service = Service(settings, bundle, pool, measures)
            log.info("serving %s", service)
            yield
            service.close()

    # Swagger UI's files come from this package: no content-delivery network is asked.
    app: FastAPI = FastAPIOffline(
        title="Photo classifier",
        description="What is in this photo? MobileNetV2 on PaddlePaddle.",
        version=__version__,
        lifespan=lifespan,
        redoc_url=None,
    )
    for family in (predict, health, metrics, index):
        app.include_router(family.router)
    handle_problems(app)
    app.add_middleware(Observe)
    return app


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Raises:
        BundleError: the bundle cannot be used.
        StartupError: no worker can be started on it.
    """
    configure_logging(settings)
    app = create_app(settings, load_bundle(settings.model_dir), EnginePool)
    server = DrainingServer(app, settings)
    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(_serve(app, server))


async def _serve(app: FastAPI, server: uvicorn.Server) -> None:
    # Entered here and not by uvicorn, so that a failed start is our one line, not its traceback.
    async with app.router.lifespan_context(app):
        await server.serve()
