"""Forecasts from posted windows."""

from typing import Annotated

from fastapi import APIRouter, Body, Query, Request

from api import problems
from api.answers import BatchAnswer, NextCycle, WindowAnswer
from api.problems import FieldError
from api.schemas import EXAMPLE_WINDOW, Hours, Posted
from api.state import TheModel
from model.forecast import Prediction, WindowError

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


@router.post("/predict")
async def predict(
    cycles: Annotated[Posted, Body(openapi_examples={"window": {"value": EXAMPLE_WINDOW}})],
    request: Request,
    rest_hours: RestHours = None,
    rated_capacity_ah: RatedCapacity = None,
) -> WindowAnswer:
    """Predict capacity and state of health of the cycle after the posted ones, oldest first.

    As many cycles as `GET /model` calls window are needed, 50 by default; of more the last count.
    With neither `soh_target` in the cycles nor `rated_capacity_ah`, SOH is told only of cells like
    the training cells. What no number can be told of is refused, with what to send.
    """
    loaded, prediction = await request.app.state.predictor.predict(
        cycles, rest_hours, rated_capacity_ah
    )
    return WindowAnswer(
        **vars(NextCycle.of(prediction)),
        **loaded.origin(),
        cycles_posted=len(cycles),
        cycles_used=loaded.model.window,
    )


@router.post("/predict/batch")
def predict_batch(
    windows: Annotated[
        list[Posted],
        Body(
            min_length=1,
            max_length=1000,
            openapi_examples={"two windows": {"value": [EXAMPLE_WINDOW] * 2}},
        ),
    ],
    loaded: TheModel,
    rest_hours: RestHours = None,
    rated_capacity_ah: RatedCapacity = None,
) -> BatchAnswer:
    """Predict the cycle after each of up to 1,000 windows, in one forward pass.

    Rest and rated capacity are those of all of them.
    """
    loaded.check(windows)
    answers = loaded.answers(
        windows, [rest_hours] * len(windows), [rated_capacity_ah] * len(windows)
    )
    refused = [
        FieldError(window=number, detail=str(it))
        for number, it in enumerate(answers, start=1)
        if isinstance(it, WindowError)
    ]
    if refused:
        raise problems.refusal(refused)
    return BatchAnswer(
        **loaded.origin(),
        predictions=[NextCycle.of(it) for it in answers if isinstance(it, Prediction)],
    )
