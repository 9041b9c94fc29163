"""Forecasts from posted windows."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from api import problems, reading
from api.forecasts import BatchAnswer, NextCycle, WindowAnswer, told
from api.problems import FieldError
from api.schemas import EXAMPLE_WINDOW, JSON, ONE_WINDOW, WINDOWS, Hours, body
from api.state import TheModel
from model.forecast import Coming, Prediction, WindowError

router = APIRouter(tags=["forecast"], responses=problems.responses(400, 408, 413, 422, 503))

RestHours = Annotated[
    Hours | None, Query(description="Rest between the last cycle and the predicted one, h")
]
RatedCapacity = Annotated[
    float | None,
    Query(
        ge=1e-6,
        le=1e4,
        allow_inf_nan=False,
        description="Rated capacity of the cell, Ah: SOH is capacity ÷ rated capacity",
    ),
]


Amount = Annotated[float | None, Query(ge=0, le=1e6, allow_inf_nan=False)]


async def coming(
    load_a: Annotated[
        float | None,
        Query(gt=0, le=1e4, allow_inf_nan=False, description="Load of the predicted cycle, A"),
    ] = None,
    ambient_c: Annotated[
        float | None,
        Query(ge=-60, le=150, allow_inf_nan=False, description="Its ambient temperature, °C"),
    ] = None,
    charge_capacity: Amount = None,
    cc_charge_time: Amount = None,
    cv_charge_time: Amount = None,
) -> Coming:
    """What is known of the predicted cycle before it begins: its load and the charge before it.

    What is not given is as in the last cycle, or not known. The fleet network makes use of it.
    """
    return Coming(
        avg_current_load=load_a,
        ambient_temperature=ambient_c,
        charge_capacity=charge_capacity,
        cc_charge_time=cc_charge_time,
        cv_charge_time=cv_charge_time,
    )


TheComing = Annotated[Coming, Depends(coming)]


async def _whole(request: Request) -> bytes:
    return await request.body()


@router.post(
    "/predict",
    response_model=WindowAnswer,
    openapi_extra=body(ONE_WINDOW, EXAMPLE_WINDOW),
)
async def predict(
    request: Request,
    rest_hours: RestHours = None,
    rated_capacity_ah: RatedCapacity = None,
    *,
    coming: TheComing,
) -> Response:
    """Predict capacity and state of health of the cycle after the posted ones, oldest first.

    As many cycles as `GET /model` calls window make one, 50 by default; of more the last count.
    With a fleet model 5 are enough: it answers for shorter windows, and for cells unlike those that
    the other networks learned from.
    With neither `soh_target` in the cycles nor `rated_capacity_ah`, SOH is told only of cells like
    the training cells. What no number can be told of is refused, with what to send.

    JSON is a list of cycles or an object of columns. A table, `text/csv` or
    `application/vnd.apache.parquet`, may be what this service or SQL gives of a battery.
    """
    cycles = reading.window(await request.body(), request.headers.get("content-type"))
    loaded, prediction = await request.app.state.predictor.predict(
        cycles, rest_hours, rated_capacity_ah, coming
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
    openapi_extra=body(WINDOWS, [EXAMPLE_WINDOW] * 2),
)
def predict_batch(
    sent: Annotated[bytes, Depends(_whole)],
    loaded: TheModel,
    rest_hours: RestHours = None,
    rated_capacity_ah: RatedCapacity = None,
    *,
    coming: TheComing,
) -> Response:
    """Predict the cycle after each of up to 1,000 windows, in one pass.

    Rest, rated capacity and what is known of the coming cycle are those of all of them.
    """
    windows = reading.windows(sent)
    loaded.check(windows)
    answers = loaded.answers(
        windows,
        [rest_hours] * len(windows),
        [rated_capacity_ah] * len(windows),
        [coming] * len(windows),
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
