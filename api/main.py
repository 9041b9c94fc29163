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
from model.forecast import ModelError, Network, TooFewCyclesError, UnknownBatteryError


class Model:
    """The model file in use: loaded once, and again when the trainer has replaced it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stamp: tuple[int, int] | None = None
        self._network: Network | None = None

    def network(self) -> Network:
        """Return the network, in eval mode; raises ModelError when there is none."""
        stamp = self._stamp_now()
        with self._lock:
            if self._network is None or stamp != self._stamp:
                self._network, self._stamp = forecast.load(self._path), stamp
            return self._network

    def _stamp_now(self) -> tuple[int, int] | None:
        try:
            stat = self._path.stat()
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
model = Model(Path(os.environ.get("MODEL_PATH", "artifacts/model.pth")))


def current_network() -> Network:
    """Give a route the model, or end the request with 503."""
    try:
        return model.network()
    except ModelError as error:
        raise ProblemError(503, str(error)) from None


CurrentNetwork = Annotated[Network, Depends(current_network)]


@app.post("/predict", responses=problems.responses(422, 503))
def predict(
    cycles: Annotated[list[Cycle], Body(min_length=1, max_length=1000)], network: CurrentNetwork
) -> Prediction:
    """Predict the state of health of the cycle after the posted ones, oldest first."""
    window = network.config.window
    if len(cycles) != window:
        raise ProblemError(
            422,
            f"{len(cycles)} cycles were posted, the last {window} are needed",
            [FieldError(field="cycles", detail=f"{window} are needed")],
        )
    posted = [cycle.model_dump(exclude_none=True) for cycle in cycles]
    return Prediction(predicted_soh=forecast.predict(network, posted))


@app.get("/batteries/{battery_id}/prediction", responses=problems.responses(404, 422, 503))
def battery_prediction(battery_id: str, network: CurrentNetwork) -> Prediction:
    """Predict the next cycle of a battery from its last cycles in cycle_series."""
    try:
        server = database.connect()
        try:
            cycles, last = forecast.last_cycles(server, battery_id, network)
        finally:
            server.close()
    except UnknownBatteryError as error:
        raise ProblemError(404, str(error)) from None
    except TooFewCyclesError as error:
        raise ProblemError(422, str(error)) from None
    except (ModelError, database.DatabaseError) as error:
        raise ProblemError(503, str(error)) from None
    return Prediction(
        predicted_soh=forecast.predict(network, cycles),
        battery_id=battery_id,
        last_cycle_index=last,
    )


@app.get("/livez")
def livez() -> Status:
    """Tell that the process answers."""
    return Status(status="ok")


@app.get("/readyz", responses=problems.responses(503))
def readyz(_network: CurrentNetwork) -> Status:
    """Tell that there is a model to predict with."""
    return Status(status="ok")
