"""FastAPI alone, as many services use it: a handler in a thread, with a lock for the network."""

from threading import Lock
from typing import Any

from fastapi import FastAPI, UploadFile

from peers.model import Model

app = FastAPI()
model, lock = Model(), Lock()


@app.post("/predict")
def predict(file: UploadFile) -> dict[str, Any]:
    """Classify one photo."""
    pixels = model.decode(file.file.read())
    with lock:
        return model.classify([pixels])[0]


@app.get("/health")
async def health() -> dict[str, str]:
    """Answer as long as the event loop runs."""
    return {"status": "ok"}
