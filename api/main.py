"""The service: `uvicorn api.main:app`."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline

from api import (
    alerts,
    batteries,
    curves,
    edge,
    files,
    fleet,
    guard,
    leave,
    observe,
    predict,
    problems,
    scratch,
)
from api.answers import ModelCard, NetworkCard, Status
from api.formats import UNCHANGED, AskedObject
from api.predictor import Predictor
from api.schemas import PARQUET, described
from api.state import TheModel, ThePredictor
from api.static import Static
from api.store import Store
from model.forecast import ModelError

PAGE = Path(__file__).parent / "page"


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.predictor = Predictor(Path(os.environ.get("MODEL_PATH", "artifacts/model.pth")))
    app.state.store = Store()
    app.state.fleet = observe.FleetGauges(app.state.store)
    await run_in_threadpool(scratch.sweep)
    leave.prepare()
    yield
    app.state.store.close()


def _described(schema_of: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Say in the OpenAPI schema what the model in use asks for."""
    schema = problems.described(guard.described(schema_of))
    try:
        return described(schema, app.state.predictor.loaded().model)
    except (AttributeError, ModelError):  # not started, or without a model
        return described(schema, None)


def _name(route: APIRoute) -> str:
    """Call an operation by its function."""
    return route.name


# Its /docs loads scripts from a package; FastAPI's own from another host.
app = FastAPIOffline(
    redoc_url=None,
    redirect_slashes=False,
    title="Battery forecast",
    version=version("battery-forecast"),
    description="State of health (discharge capacity ÷ rated capacity), ahead of time.",
    lifespan=_lifespan,
    responses=problems.responses(500),
    generate_unique_id_function=_name,
)
problems.install(app)
app.add_middleware(guard.BodyLimit)
app.add_middleware(edge.Compression, PARQUET)
app.add_middleware(edge.Edge)
app.add_middleware(observe.Observer)

predict.install(app)
service = APIRouter(
    dependencies=[Depends(guard.allowed)],
    responses=problems.responses(401, 403, 422),
)
service.include_router(predict.router)
service.include_router(files.router)
service.include_router(fleet.router)
service.include_router(curves.router)
service.include_router(batteries.router)
service.include_router(alerts.router)


@service.get(
    "/model",
    response_model=ModelCard,
    responses={**problems.responses(503), **UNCHANGED},
    tags=["forecast"],
)
def model_card(asked: AskedObject, loaded: TheModel) -> Response:
    """Tell what the model is, what it learned from, and how well it did."""
    model = loaded.model
    card = ModelCard(
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
    return asked.answer(card)


app.include_router(service, prefix="/v1")
app.include_router(service, include_in_schema=False)  # as they were called before there was a /v1
app.openapi = partial(_described, app.openapi)  # type: ignore[method-assign]
app.include_router(observe.router)


operation = APIRouter(
    tags=["operation"],
    dependencies=[Depends(guard.only_known)],
    responses=problems.responses(422),
)


@operation.get("/livez")
async def livez() -> Status:
    """Tell that the process answers."""
    return Status(status="ok")


@operation.get("/readyz", responses=problems.responses(503))
def readyz(predictor: ThePredictor) -> Status:
    """Tell that there is a model to predict with, and where it is not the one in its file."""
    predictor.loaded()
    return Status(status="ok", detail=predictor.refused)


app.include_router(operation)


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    """Give the page; nothing on it may come from elsewhere."""
    policy = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:"
    framed = edge.SAFETY["Content-Security-Policy"]
    headers = {"Content-Security-Policy": f"{policy}; {framed}", "Cache-Control": "no-cache"}
    return FileResponse(PAGE / "index.html", headers=headers)


# the page's parts have to be of one state; the library may lag a day behind
app.mount("/page", Static("no-cache", directory=PAGE))
app.mount(
    "/plotly",
    Static(
        "public, max-age=86400, stale-while-revalidate=31536000",
        packages=[("plotly", "package_data")],
    ),
)
