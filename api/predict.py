"""Forecasts from posted windows."""

from typing import Annotated

from fastapi import APIRouter, Body, Query, Request

from api import problems
from api.answers import BatchAnswer, NextCycle, WindowAnswer
from api.schemas import EXAMPLE_WINDOW, Hours, Posted, Window
from api.state import TheModel

router = APIRouter(tags=["forecast"], responses=problems.responses(400, 408, 413, 422, 503))

RestHours = Annotated[
    Hours | None, Query(description="Rest between the last cycle and the predicted one, h")
]


@router.post("/predict")
async def predict(
    cycles: Annotated[Posted, Body(openapi_examples={"window": {"value": EXAMPLE_WINDOW}})],
    request: Request,
    rest_hours: RestHours = None,
) -> WindowAnswer:
    """Predict the state of health of the cycle after the posted ones, oldest first.

    50 cycles make a window; of more than 50 the last 50 count.
    """
    loaded, prediction = await request.app.state.predictor.predict(cycles, rest_hours)
    return WindowAnswer(
        **vars(NextCycle.of(prediction)),
        **loaded.origin(),
        cycles_posted=len(cycles),
        cycles_used=loaded.model.window,
    )


@router.post("/predict/batch")
def predict_batch(
    windows: Annotated[
        list[Window],
        Body(
            min_length=1,
            max_length=1000,
            openapi_examples={"two windows": {"value": [EXAMPLE_WINDOW] * 2}},
        ),
    ],
    loaded: TheModel,
    rest_hours: RestHours = None,
) -> BatchAnswer:
    """Predict the cycle after each of up to 1,000 windows of 50 cycles, in one forward pass."""
    predictions = loaded.predict(windows, [rest_hours] * len(windows))
    return BatchAnswer(
        **loaded.origin(),
        predictions=[NextCycle.of(prediction) for prediction in predictions],
    )
