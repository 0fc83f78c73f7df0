"""What `/openapi.json` says beyond the routes: it depends on the settings and on the bundle."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from fastapi import FastAPI
from fastapi.encoders import jsonable_encoder
from pydantic import BaseModel

from app import __version__
from app.api.problems import EXAMPLE_ID, problem_of
from app.api.routes.index import index_of
from app.api.schemas import (
    Classification,
    Classifications,
    Health,
    Input,
    Model,
    Reloaded,
    Result,
    Timings,
)
from app.errors import BrokenImage
from app.images.decoding import UploadedImage
from app.model.bundle import Bundle
from app.model.paddle_graph import vector_length
from app.settings import Settings
from app.telemetry import exposition
from app.telemetry.metrics import Metrics

_REQUEST_ID = {
    "description": "The client's id of the request, or a new one",
    "required": True,
    "schema": {"type": "string"},
    "example": EXAMPLE_ID,
}
# Those fields of a body that hold several photos.
_SEVERAL = {"files", "images"}


def document_of(app: FastAPI, settings: Settings, bundle: Bundle) -> dict[str, Any]:
    """Return FastAPI's document of the routes, completed. This takes some 60 ms."""
    document = FastAPI.openapi(app)
    document["components"]["headers"] = {"X-Request-ID": _REQUEST_ID}
    for operation in _operations(document):
        for response in operation["responses"].values():
            reference = {"$ref": "#/components/headers/X-Request-ID"}
            response.setdefault("headers", {})["X-Request-ID"] = reference
        for parameter in operation.get("parameters", ()):
            if parameter["name"] == "top_k":
                _bound(parameter["schema"], bundle)
        for content in operation.get("requestBody", {}).get("content", {}).values():
            for name in _SEVERAL & content["schema"].get("properties", {}).keys():
                content["schema"]["properties"][name]["maxItems"] = settings.max_photos
    _show_answers(document, settings, bundle)
    _name_keys(document, settings)
    return document


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        yield from path.values()


def _bound(top_k: dict[str, Any], bundle: Bundle) -> None:
    if bundle.post_process.threshold is not None:
        # The thresholds alone decide how many classes are named.
        del top_k["default"]
    if classes := len(bundle.labels):
        top_k["maximum"] = classes
        top_k |= {"default": min(top_k["default"], classes)} if "default" in top_k else {}


def _name_keys(document: dict[str, Any], settings: Settings) -> None:
    """Leave out the keys that the service does not ask for."""
    asked = {"ApiKey": bool(settings.api_keys), "AdminKey": bool(settings.admin_key)}
    unasked = {name for name, needed in asked.items() if not needed}
    for operation in _operations(document):
        needs = [need for need in operation.pop("security", ()) if not unasked & need.keys()]
        if needs:
            operation["security"] = needs
    schemes = document["components"].pop("securitySchemes")
    if needed := {name: scheme for name, scheme in schemes.items() if name not in unasked}:
        document["components"]["securitySchemes"] = needed


def _show_answers(document: dict[str, Any], settings: Settings, bundle: Bundle) -> None:
    """Show answers with this model and these settings."""
    model = Model.of(bundle)
    answers: dict[tuple[str, str], Mapping[str, BaseModel | dict[str, str]]] = {
        ("/", "get"): {"paths": index_of(bundle)},
        ("/predict", "post"): _predictions(bundle) if bundle.golden else {},
        ("/health", "get"): {"ready": _health(settings, bundle)},
        ("/models/reload", "post"): {"the same model": Reloaded(before=model, model=model)},
    }
    for (path, method), examples in answers.items():
        response = document["paths"][path][method]["responses"]["200"]
        response["content"]["application/json"]["examples"] = {
            name: {"value": jsonable_encoder(answer, exclude_unset=True)}
            for name, answer in examples.items()
        }
    text = document["paths"]["/metrics"]["get"]["responses"]["200"]["content"]["text/plain"]
    text["examples"] = {
        "some lines of a service that has just started": {"value": _metrics(settings)}
    }


def _predictions(bundle: Bundle) -> Mapping[str, BaseModel]:
    """Return answers with the bundle's golden scores."""
    one = Classification(
        model=Model.of(bundle),
        predictions=bundle.post_process.answer(_scores(bundle)),
        image=UploadedImage(width=640, height=480, format="JPEG"),
        timings_ms=Timings(decode=2.2, queue=0.1, inference=11.1, total=13.4),
    )
    answered = Result(predictions=one.predictions, image=one.image, timings_ms=one.timings_ms)
    failed = Result(error=problem_of(BrokenImage(), EXAMPLE_ID))
    several = Classifications(model=one.model, results=[answered, failed])
    return {"one photo": one, "several photos": several}


def _metrics(settings: Settings) -> str:
    """Return some of the metrics of a service that has just started."""
    metrics = Metrics()
    metrics.build.info({"version": __version__})
    metrics.capacity.set(settings.places)
    metrics.ready.set(1)
    metrics.workers.set(settings.worker_count)
    # Several names in one call would come in an order that changes from start to start.
    shown = (
        metrics.registry.restricted_registry([f"classifier_{name}"])
        for name in ("ready", "workers", "capacity_photos", "build_info")
    )
    return "".join(exposition.text(one).decode() for one in shown)


def _scores(bundle: Bundle) -> npt.NDArray[np.float32]:
    """Return the golden scores (classes,), with 0 for the classes that they leave out."""
    golden = bundle.golden.scores if bundle.golden else {}
    classes = len(bundle.labels) or 1 + max(golden)
    return np.array([golden.get(class_id, 0) for class_id in range(classes)], np.float32)


def _health(settings: Settings, bundle: Bundle) -> Health:
    """Return what a service that has just started says of itself."""
    return Health(
        status="ready",
        model=Model.of(bundle),
        input=Input.of(bundle),
        classes=len(bundle.labels),
        vector_length=vector_length(bundle.graph),
        engine=settings.engine,
        device=settings.device,
        workers=settings.worker_count,
        workers_up=settings.worker_count,
        max_batch_size=settings.max_batch_size or 4,
        batch_ms={} if settings.max_batch_size else {1: 11.1, 2: 21.6, 4: 43.1},
        waiting=0,
        in_flight=0,
        capacity=settings.places,
        in_flight_bytes=0,
        capacity_bytes=settings.capacity_bytes,
        version=__version__,
    )
