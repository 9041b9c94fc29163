"""What the service answers of batteries, alerts and models."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from api.forecasts import Answer, EndOfLife, NextCycle


class Battery(BaseModel):
    """A battery, with its conditions and how far it has aged."""

    battery_id: str
    battery_group: str | None
    layout: str
    is_simulated: bool = Field(description="SIMULATED, not measured")
    ambient: str | None
    load: str | None
    rated_capacity_ah: float | None = Field(description="null where it is not known")
    discharges: int = Field(description="Recorded discharges")
    cycles: int = Field(description="Usable discharges")
    first_soh: float | None
    last_soh: float | None
    last_retention: float | None = Field(
        description="Last capacity ÷ the battery's own first ones at that load and temperature"
    )
    end_of_life_cycle: int | None = Field(description="From this cycle on it was below 70 %")
    end_of_life_measure: str | None = Field(description="By soh or by capacity_retention")


class FleetBattery(Battery):
    """A row of the fleet's table."""

    sparkline: list[float] = Field(description="SOH over the cycles, thinned")
    is_unlike_training: bool | None = Field(
        description="Of next_cycle and end_of_life; null where neither is told"
    )
    unlike_training: list[str] | None = Field(description="In what")
    next_cycle: NextCycle | None = Field(description="null where a window is lacking")
    end_of_life: EndOfLife | None = Field(description="Within `horizon` cycles")
    alerts: list[str] = Field(description="Kinds of its open alerts")


class Fleet(Answer):
    """A page of the fleet."""

    model_version: str | None  # type: ignore[assignment]
    total: int = Field(description="Batteries that match; 0 beyond the last page")
    kept: int = Field(
        description="Where sorted by next_soh or remaining: how many of these "
        "`python -m model.predict` has forecast with this model after their last cycle; the others "
        "come last"
    )
    horizon: int = Field(description="Cycles ahead that end_of_life looks")
    batteries: list[FleetBattery]


class CourseOfHealth(BaseModel):
    """The ground truths of a battery in time order."""

    battery_id: str
    battery_group: str = Field(description="Under which conditions it ages")
    is_simulated: bool = Field(description="SIMULATED, not measured")
    cycle_index: list[int]
    throughput_ah: list[float | None] = Field(description="Charge delivered in its life so far, Ah")
    started_at: list[str | None] = Field(description="ISO 8601, by the recorder's own clock")
    soh: list[float | None]
    capacity_retention: list[float | None] = Field(
        description="Capacity ÷ its first ones at that operating point"
    )


class Courses(BaseModel):
    """Batteries to lay over one another; who is unknown, or has no ground truth, is not there."""

    is_simulated: bool = Field(description="SIMULATED cells, not measurements, are among them")
    batteries: list[CourseOfHealth]


class RecordedCycle(BaseModel):
    """A recorded discharge, kept or left out."""

    discharge_index: int
    cycle_index: int | None = Field(description="null where it was left out")
    started_at: str | None = Field(description="ISO 8601, by the recorder's own clock")
    discharge_capacity_ah: float | None
    is_usable: bool
    reason: str = Field(description="Why it was kept or left out")
    soh: float | None
    features: dict[str, float | None] | None


class Cycles(BaseModel):
    """A page of a battery's recorded discharges."""

    battery_id: str
    total: int = Field(description="Recorded discharges; 0 beyond the last page")
    cycles: list[RecordedCycle]


class Curve(BaseModel):
    """The samples of one cycle, as they were recorded; null where one is no number."""

    battery_id: str
    cycle_index: int
    time_s: list[float | None]
    voltage_v: list[float | None]
    current_a: list[float | None]
    temperature_c: list[float | None] | None = Field(description="null without a sensor")


class DischargeCurve(BaseModel):
    """The samples of one recorded discharge, kept or left out; null where one is no number."""

    battery_id: str
    discharge_index: int
    cycle_index: int | None = Field(description="null where it was left out")
    reason: str = Field(description="Why it was kept or left out")
    time_s: list[float | None]
    voltage_v: list[float | None]
    current_a: list[float | None]
    temperature_c: list[float | None] | None = Field(description="null without a sensor")


class IncrementalCapacity(BaseModel):
    """The charge that one cycle gave per volt, over the voltage, from high to low."""

    battery_id: str
    cycle_index: int
    voltage_v: list[float]
    ah_per_v: list[float] = Field(description="-dQ/dV, Ah/V")
    step_v: float = Field(description="Between two voltages")
    smoothed_over_v: float = Field(description="Each is the slope of a line over so many volts")
    samples: int = Field(description="Under load, from the highest to the lowest voltage")
    refused: str | None = Field(None, description="Why there is none")


class Alert(BaseModel):
    """A rule that holds for a battery, or that held."""

    battery_id: str
    kind: str = Field(description="Rule of alert_rule: end_of_life_near, no_data, …")
    since: datetime = Field(description="When a build found it to hold")
    until: datetime | None = Field(description="When a build found it not to; null while open")
    value: float = Field(description="What the rule looks at, as it was when the alert opened")
    threshold: float
    unit: str = Field(description="Unit of value and threshold")
    description: str = Field(description="What the rule says")
    is_simulated: bool = Field(description="SIMULATED, not measured")


class Alerts(BaseModel):
    """A page of alerts, the newest first."""

    total: int = Field(description="Alerts that match; 0 beyond the last page")
    alerts: list[Alert]


class GroupHealth(BaseModel):
    """How a model's forecasts of the next cycle did on a group, each battery's last ones."""

    model_version: str
    battery_group: str
    batteries: int
    cycles: int = Field(description="Forecasts compared with what came")
    rmse: float = Field(description="Root mean square error, in SOH")
    persistence_rmse: float | None = Field(description="The same of the last known SOH")
    coverage: float = Field(description="Share of what came within the 90 % interval")
    bias: float = Field(description="Mean error: above 0 where the forecast is too high")
    share_unlike_training: float | None = Field(description="Share of windows unlike training")


class Health(BaseModel):
    """How each model does on each group; empty until something forecast has been measured."""

    models: list[GroupHealth]


class NetworkCard(BaseModel):
    """What one network learned from, and how it did on batteries that it did not learn from."""

    features: str = Field(description="As in an answer's features: spec, extended, fleet or custom")
    sees: dict[str, str] = Field(description="What it sees of a cycle, with the meaning")
    train: list[str] = Field(description="Batteries that it learned from")
    test: list[str] = Field(description="Batteries that it was tested on, unseen in training")
    errors: dict[str, dict[str, dict[str, float | None]]] = Field(
        description="By test battery; the model's, and persistence's over the same windows, in SOH"
    )
    training_curve: list[float] = Field(description="Loss after each epoch")
    learned_from: dict[str, str] = Field(description="Checksum of the cycles that it learned from")
    trained_at: datetime


class ModelCard(Answer):
    """What the model is, what it learned from, and how well it did."""

    window: int = Field(description="Most cycles that a forecast is made from")
    shortest: int = Field(description="Least: as many, or 5 where there is a fleet network")
    networks: list[NetworkCard]
    card: dict[str, Any]


class Status(BaseModel):
    """Whether the service can do its work."""

    status: str
    detail: str | None = Field(None, description="What should be looked after all the same")
