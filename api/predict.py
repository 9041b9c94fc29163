"""Forecasts from posted windows."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field, ValidationError

from api import guard, problems, reading
from api.forecasts import BatchAnswer, NextCycle, WindowAnswer, told
from api.problems import FieldError
from api.schemas import EXAMPLE_WINDOW, JSON, ONE_WINDOW, WINDOWS, Hours, body
from api.state import TheModel
from model.forecast import Coming, Prediction, WindowError

router = APIRouter(tags=["forecast"], responses=problems.responses(400, 408, 413, 422, 503))


class Straight(APIRoute):
    """A route whose function takes the request as it is: FastAPI would take longer than it does."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        async def handler(request: Request) -> Response:
            await guard.allowed(request)
            answer: Response = await self.endpoint(request)
            return answer

        return handler


def install(app: FastAPI) -> None:
    """Add the route for single windows to the app itself, where it is found at once."""
    for prefix in ("/v1", ""):
        app.router.add_api_route(
            f"{prefix}/predict",
            predict,
            methods=["POST"],
            route_class_override=Straight,
            response_model=WindowAnswer,
            responses=problems.responses(401, 403) | router.responses,
            openapi_extra=body(ONE_WINDOW, EXAMPLE_WINDOW) | {"parameters": PARAMETERS},
            tags=router.tags,
            include_in_schema=bool(prefix),
        )


Amount = Annotated[float | None, Field(ge=0, le=1e6, allow_inf_nan=False)]


class Beside(BaseModel):
    """What is known beside the cycles: the parameters of a route that is posted windows."""

    rest_hours: Hours | None = Field(
        None, description="Rest between the last cycle and the predicted one, h"
    )
    rated_capacity_ah: float | None = Field(
        None,
        ge=1e-6,
        le=1e4,
        allow_inf_nan=False,
        description="Rated capacity of the cell, Ah: SOH is capacity ÷ rated capacity",
    )
    # Of the predicted cycle, before it begins. What is not given is as in the last cycle, or not
    # known. The fleet network makes use of it.
    load_a: float | None = Field(
        None, gt=0, le=1e4, allow_inf_nan=False, description="Load of the predicted cycle, A"
    )
    ambient_c: float | None = Field(
        None, ge=-60, le=150, allow_inf_nan=False, description="Its ambient temperature, °C"
    )
    charge_capacity: Amount = Field(None, description="Charge taken in before it, Ah")
    cc_charge_time: Amount = Field(None, description="Charging at constant current before it, s")
    cv_charge_time: Amount = Field(None, description="Charging at constant voltage before it, s")

    @property
    def coming(self) -> Coming:
        return Coming(
            avg_current_load=self.load_a,
            ambient_temperature=self.ambient_c,
            charge_capacity=self.charge_capacity,
            cc_charge_time=self.cc_charge_time,
            cv_charge_time=self.cv_charge_time,
        )


NOTHING = Beside()
PARAMETERS = [
    {
        "name": name,
        "in": "query",
        "required": False,
        "description": field.pop("description"),
        "schema": field,
    }
    for name, field in Beside.model_json_schema()["properties"].items()
]


def _beside(request: Request) -> Beside:
    # not by FastAPI, which takes its time for each parameter of a route, given or not
    if not request.scope["query_string"]:
        return NOTHING
    try:
        return Beside.model_validate(dict(request.query_params))
    except ValidationError as error:
        raise RequestValidationError(
            [{**it, "loc": ("query", *it["loc"])} for it in error.errors(include_url=False)]
        ) from None


async def _whole(request: Request) -> bytes:
    return await request.body()


async def predict(request: Request) -> Response:
    """Predict capacity and state of health of the cycle after the posted ones, oldest first.

    As many cycles as `GET /model` calls window make one, 50 by default; of more the last count.
    With a fleet model 5 are enough: it answers for shorter windows, and for cells unlike those that
    the other networks learned from.
    With neither `soh_target` in the cycles nor `rated_capacity_ah`, SOH is told only of cells like
    the training cells. What no number can be told of is refused, with what to send.

    JSON is a list of cycles or an object of columns. A table, `text/csv` or
    `application/vnd.apache.parquet`, may be what this service or SQL gives of a battery.
    """
    beside = _beside(request)
    cycles = reading.window(await request.body(), request.headers.get("content-type"))
    loaded, prediction = await request.app.state.predictor.predict(
        cycles, beside.rest_hours, beside.rated_capacity_ah, beside.coming
    )
    answer = WindowAnswer(
        **told(prediction),
        **loaded.origin(),
        cycles_posted=len(cycles),
        cycles_used=min(len(cycles), loaded.model.window),
    )
    return Response(answer.model_dump_json(), media_type=JSON)


@router.post(
    "/predict/batch",
    response_model=BatchAnswer,
    openapi_extra=body(WINDOWS, [EXAMPLE_WINDOW] * 2) | {"parameters": PARAMETERS},
)
def predict_batch(
    sent: Annotated[bytes, Depends(_whole)],
    loaded: TheModel,
    request: Request,
) -> Response:
    """Predict the cycle after each of up to 1,000 windows, in one pass.

    Rest, rated capacity and what is known of the coming cycle are those of all of them.
    """
    beside = _beside(request)
    windows = reading.windows(sent)
    loaded.check(windows)
    answers = loaded.answers(
        windows,
        [beside.rest_hours] * len(windows),
        [beside.rated_capacity_ah] * len(windows),
        [beside.coming] * len(windows),
    )
    refused = [
        FieldError(window=number, detail=str(it))
        for number, it in enumerate(answers, start=1)
        if isinstance(it, WindowError)
    ]
    if refused:
        raise problems.refusal(refused)
    made = BatchAnswer(
        **loaded.origin(),
        predictions=[NextCycle.of(it) for it in answers if isinstance(it, Prediction)],
    )
    return Response(made.model_dump_json(), media_type=JSON)
