"""The composition root: settings and a bundle in, a running service out."""

import asyncio
import gc
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import cache, partial

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from app import __version__, host
from app.api import contract
from app.api.dialects import huggingface, oip, paddlex, torchserve
from app.api.middleware import Observe
from app.api.origins import GuardOrigins, Origins
from app.api.ports import GRPC_PORT, bound
from app.api.problems import handle_problems
from app.api.routes import docs, embed, explain, health, index, metrics, models, page, predict
from app.api.server import DrainingServer, SecondPort
from app.api.shortcut import Shortcut
from app.errors import StartupError
from app.model.bundle import Bundle, load_bundle
from app.serving.service import Service
from app.settings import Settings
from app.telemetry import loop_lag
from app.telemetry.logs import configure_logging, threaded_logging
from app.telemetry.metrics import Metrics
from app.telemetry.tracing import Traces
from app.workers.interfaces import PoolFactory
from app.workers.pool import WorkerPool


def create_app(settings: Settings, bundle: Bundle, pool_factory: PoolFactory) -> FastAPI:
    """Return the service. It has no module-level state, so a test can build several at once.

    Raises:
        StartupError: the settings ask for traces, but OpenTelemetry cannot send them.
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

    # FastAPIOffline serves the files of Swagger UI itself, so browsers load nothing from outside.
    app: FastAPI = FastAPIOffline(
        title="Photo classifier",
        description="What is in this photo? MobileNetV2 on PaddlePaddle.",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        # Behind a proxy that ends TLS, Starlette would redirect to an http:// URL, and Node's fetch
        # does not send the body a second time.
        redirect_slashes=False,
        # Code generators name a client's functions after these ids.
        generate_unique_id_function=lambda route: route.name,
        telemetry=traces.telemetry,
    )
    for family in (predict, explain, embed, health, metrics, models, index, page, docs):
        app.include_router(family.router)
    for dialect in (huggingface, oip, paddlex, torchserve):
        if dialect.NAME in settings.dialects:
            app.include_router(dialect.router)
    # FastAPI asks for its document by this name.
    document = partial(contract.document_of, app, settings, bundle)
    app.openapi = cache(document)  # type: ignore[method-assign]  # the way of FastAPI's own guide
    handle_problems(app)
    origins = Origins(settings.cors_origins)
    # FastAPI names a trace after the route that its own search has found.
    if not settings.traces:
        app.add_middleware(Shortcut)
    app.add_middleware(GuardOrigins, origins=origins)
    app.add_middleware(Observe, origins=origins)
    return app


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C.

    The port is bound before the model is loaded, so that a wrong port is reported at once.

    Raises:
        BundleError: the bundle cannot be used.
        StartupError: a port cannot be used, no worker can load the bundle, OpenTelemetry cannot
            send traces, or gRPC is not installed.
    """
    configure_logging(settings.log_level, settings.log_format)
    host.give_back_large_blocks()
    with bound(settings.host, settings.port) as sockets, _grpc_port(settings) as grpc_port:
        app = create_app(settings, load_bundle(settings.model_dir), WorkerPool)
        # It is made before the first client comes, because nobody else is answered meanwhile.
        app.openapi()
        server = DrainingServer(app, settings, grpc_port)
        runner = asyncio.Runner(loop_factory=server.config.get_loop_factory())
        # SIGTERM during the start cancels the task.
        with threaded_logging(), suppress(asyncio.CancelledError), runner:
            runner.run(_serve(app, server, sockets))


@contextmanager
def _grpc_port(settings: Settings) -> Iterator[SecondPort | None]:
    """Yield the server for gRPC, whose port is bound, if the settings ask for one.

    Raises:
        StartupError: the port cannot be used, or gRPC is not installed.
    """
    if "oip-grpc" not in settings.dialects:
        yield None
        return
    # gRPC would write what is wrong with each client into the log, in a form of its own.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # Its threads would each keep the memory of large messages: 600 MB where one arena keeps 350.
    host.share_one_arena()
    try:
        # gRPC is imported only here, so a service without it neither needs nor loads it.
        from app.api.dialects import oip_grpc  # noqa: PLC0415
        from app.api.rpc.server import GrpcServer  # noqa: PLC0415
    except ImportError as error:
        raise StartupError(
            "the dialect oip-grpc needs the packages of requirements/grpc.txt: install them, or "
            f"start with make serve ({error})"
        ) from error
    with bound(settings.host, settings.grpc_port, GRPC_PORT) as sockets:
        yield GrpcServer(settings, sockets, {oip_grpc.SERVICE: oip_grpc.METHODS})


async def _serve(app: FastAPI, server: DrainingServer, sockets: list[socket.socket]) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task  # noqa: S101  (a coroutine that runs has a task)
    # uvicorn replaces this handler when it starts to serve.
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    loop.add_signal_handler(signal.SIGHUP, server.reload)
    # We enter the lifespan ourselves, because uvicorn would report a failed start with a traceback.
    async with app.router.lifespan_context(app):
        loop.remove_signal_handler(signal.SIGTERM)
        # Objects that exist now live as long as the process, so the garbage collector skips them.
        gc.freeze()
        await server.serve(sockets)
