"""The service: `uvicorn api.main:app`. Answers POST /predict with the SOH of the next cycle."""

import os
import threading
from pathlib import Path
from typing import Annotated

from fastapi import Body, Depends, FastAPI

import database
from api import problems
from api.problems import FieldError, ProblemError
from api.schemas import Cycle, Prediction, Status
from model import forecast
from model.forecast import Model, ModelError, UnknownBatteryError


class ModelFile:
    """The model file in use: loaded once, and again when the trainer has replaced it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stamp: list[tuple[int, int] | None] | None = None
        self._model: Model | None = None

    def model(self) -> Model:
        """Return the model; raises ModelError when there is none."""
        stamp = [_stamp(self._path), _stamp(forecast.extended_path(self._path))]
        with self._lock:
            if self._model is None or stamp != self._stamp:
                self._model, self._stamp = forecast.load(self._path), stamp
            return self._model


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns


app = FastAPI(
    title="Battery forecast",
    description="State of health (discharge capacity ÷ rated capacity) of a battery's next cycle.",
    docs_url=None,  # its page loads scripts from another host
    redoc_url=None,
)
problems.install(app)
model_file = ModelFile(Path(os.environ.get("MODEL_PATH", "artifacts/model.pth")))


def current_model() -> Model:
    """Give a route the model, or end the request with 503."""
    try:
        return model_file.model()
    except ModelError as error:
        raise ProblemError(503, str(error)) from None


CurrentModel = Annotated[Model, Depends(current_model)]


@app.post("/predict", responses=problems.responses(422, 503))
def predict(
    cycles: Annotated[list[Cycle], Body(min_length=1, max_length=1000)], model: CurrentModel
) -> Prediction:
    """Predict the state of health of the cycle after the posted ones, oldest first."""
    window = model.window
    if len(cycles) != window:
        raise ProblemError(
            422,
            f"{len(cycles)} cycles were posted, the last {window} are needed",
            [FieldError(field="cycles", detail=f"{window} are needed")],
        )
    posted = [cycle.model_dump(exclude_none=True) for cycle in cycles]
    return Prediction(predicted_soh=forecast.predict(model, [posted])[0].soh)


@app.get("/batteries/{battery_id}/prediction", responses=problems.responses(404, 422, 503))
def battery_prediction(battery_id: str, model: CurrentModel) -> Prediction:
    """Predict the next cycle of a battery from its last cycles in cycle_series."""
    try:
        server = database.connect()
        try:
            cycles = forecast.history(server, battery_id)
        finally:
            server.close()
    except UnknownBatteryError as error:
        raise ProblemError(404, str(error)) from None
    except (ModelError, database.DatabaseError) as error:
        raise ProblemError(503, str(error)) from None
    if len(cycles) < model.window:
        raise ProblemError(422, f"{battery_id} has {len(cycles)} cycles, {model.window} are needed")
    return Prediction(
        predicted_soh=forecast.predict(model, [cycles])[0].soh,
        battery_id=battery_id,
        last_cycle_index=len(cycles),
    )


@app.get("/livez")
def livez() -> Status:
    """Tell that the process answers."""
    return Status(status="ok")


@app.get("/readyz", responses=problems.responses(503))
def readyz(_model: CurrentModel) -> Status:
    """Tell that there is a model to predict with."""
    return Status(status="ok")
