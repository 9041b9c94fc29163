"""The service: `uvicorn api.main:app`."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline

from api import alerts, batteries, guard, observe, predict, problems
from api.answers import ModelCard, NetworkCard, Status
from api.predictor import Predictor
from api.schemas import asking_for
from api.state import TheModel
from api.store import Store
from model.forecast import ModelError

PAGE = Path(__file__).parent / "page"


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.predictor = Predictor(Path(os.environ.get("MODEL_PATH", "artifacts/model.pth")))
    app.state.store = Store()
    app.state.fleet = observe.FleetGauges(app.state.store)
    yield
    app.state.store.close()


def _described(schema_of: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Say in the OpenAPI schema what the model in use asks for."""
    schema = guard.described(schema_of)
    try:
        model = app.state.predictor.loaded().model
    except (AttributeError, ModelError):  # not started, or without a model
        return schema
    needed = model.spec.config
    if model.fleet:  # which asks for no feature of its own
        return asking_for(schema, (), (), model.shortest)
    return asking_for(schema, needed.measured, needed.rests, model.window)


# Its /docs loads scripts from a package; FastAPI's own from another host.
app = FastAPIOffline(
    redoc_url=None,
    redirect_slashes=False,
    title="Battery forecast",
    version=version("battery-forecast"),
    description="State of health (discharge capacity ÷ rated capacity), ahead of time.",
    lifespan=_lifespan,
    responses=problems.responses(500),
)
problems.install(app)
app.add_middleware(guard.BodyLimit)
app.add_middleware(observe.Observer)

service = APIRouter(dependencies=[Depends(guard.allowed)], responses=problems.responses(401, 403))
service.include_router(predict.router)
service.include_router(batteries.router)
service.include_router(alerts.router)


@service.get("/model", responses=problems.responses(503), tags=["forecast"])
def model_card(loaded: TheModel) -> ModelCard:
    """Tell what the model is, what it learned from, and how well it did."""
    model = loaded.model
    return ModelCard(
        **loaded.origin(),
        window=model.window,
        shortest=model.shortest,
        networks=[
            NetworkCard(
                features=it.config.preset,
                sees=it.card["features"],
                train=list(it.config.train),
                test=list(it.config.test),
                errors=it.card["test"],
                training_curve=it.card["training_curve"],
                learned_from=it.card["learned_from"],
                trained_at=it.card["trained_at"],
            )
            for it in model.networks
        ],
        card=model.card,
    )


app.include_router(service)
app.openapi = partial(_described, app.openapi)  # type: ignore[method-assign]
app.include_router(observe.router)


@app.get("/livez", tags=["operation"])
async def livez() -> Status:
    """Tell that the process answers."""
    return Status(status="ok")


@app.get("/readyz", responses=problems.responses(503), tags=["operation"])
def readyz(_loaded: TheModel) -> Status:
    """Tell that there is a model to predict with."""
    return Status(status="ok")


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    """Give the page; nothing on it may come from elsewhere."""
    policy = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:"
    return FileResponse(PAGE / "index.html", headers={"Content-Security-Policy": policy})


app.mount("/page", StaticFiles(directory=PAGE))
app.mount("/plotly", StaticFiles(packages=[("plotly", "package_data")]))
