"""What is posted to the service and what it answers."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Cycle(BaseModel):
    """The features of one discharge, as in cycle_series; the bounds refuse what no cell can do."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)

    avg_voltage_load: Annotated[
        float, Field(gt=0, le=10, description="Voltage under load, averaged over time, V")
    ]
    max_temperature: Annotated[
        float, Field(ge=-60, le=150, description="Highest temperature of the battery, °C")
    ]
    time_to_discharge: Annotated[
        float, Field(gt=0, le=1e6, description="From load-on to the reference cut-off, s")
    ]
    discharge_capacity: Annotated[
        float | None, Field(gt=0, le=1e4, description="Charge delivered, Ah")
    ] = None


class Prediction(BaseModel):
    """The forecast for the cycle that follows."""

    predicted_soh: float = Field(description="Discharge capacity ÷ rated capacity, a fraction")
    battery_id: str | None = Field(None, description="Battery, where one was asked for")
    last_cycle_index: int | None = Field(None, description="Last cycle that was looked at")


class Status(BaseModel):
    """Whether the service can do its work."""

    status: str
