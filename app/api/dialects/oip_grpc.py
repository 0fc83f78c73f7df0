"""The Open Inference Protocol, version 2, over gRPC: the methods that REST has as paths."""

from functools import partial

from app import __version__
from app.api.dialects import oip
from app.api.dialects.models import check_name
from app.api.dialects.oip_messages import answer, inference_of, model_of, tensor
from app.api.dialects.oip_photos import classified
from app.api.dialects.oip_request import INPUT, OUTPUT, Question, question_of
from app.api.rpc.call import Call, Method
from app.model.wire import field
from app.serving.service import Service

NAME = "oip-grpc"
SERVICE = "inference.GRPCInferenceService"


async def server_live(call: Call) -> bytes:
    """Return whether the server lives: it does not if only a restart would help."""
    return field(1, not call.service.pool.hopeless)


async def server_ready(call: Call) -> bytes:
    """Return whether photos are accepted."""
    return field(1, call.service.ready)


async def server_metadata(_: Call) -> bytes:
    """Return the name of the server and the extensions that it knows."""
    extensions = b"".join(field(3, name) for name in oip.EXTENSIONS)
    return field(1, oip.SERVER) + field(2, __version__) + extensions


async def model_ready(call: Call) -> bytes:
    """Return whether photos are accepted for a model."""
    await _check_model(call)
    return field(1, call.service.ready)


async def model_metadata(call: Call) -> bytes:
    """Return what goes into a model and what comes out."""
    await _check_model(call)
    service = call.service
    return b"".join(
        (
            field(1, service.bundle.name),
            field(2, service.bundle.version),
            field(3, service.settings.engine),
            field(4, tensor(INPUT, "BYTES", [-1])),
            field(5, tensor(OUTPUT, "FP32", [-1, service.pool.classes])),
        )
    )


async def model_infer(call: Call) -> bytes:
    """Return the scores of all classes, or the likeliest classes, of each photo."""
    allowed_s = call.time_allowed_s()
    async with call.received(partial(_question, call.service)) as (given, question):
        return answer(question, await classified(given, question, allowed_s))


METHODS = {
    "ServerLive": Method(server_live),
    "ServerReady": Method(server_ready),
    "ServerMetadata": Method(server_metadata),
    "ModelReady": Method(model_ready),
    "ModelMetadata": Method(model_metadata),
    "ModelInfer": Method(model_infer, NAME),
}


def _question(service: Service, message: bytes) -> Question:
    asked = inference_of(message)
    check_name(asked.model, asked.version or None, service.bundle)
    return question_of(asked.fields, asked.binary, service.settings)


async def _check_model(call: Call) -> None:
    name, version = model_of(await call.message())
    check_name(name, version or None, call.service.bundle)
