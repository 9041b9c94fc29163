"""What the service answers of cycles to come."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal, Self

from pydantic import BaseModel, Field

from model.forecast import END_OF_LIFE_SOH, Prediction, Trajectory, in_days

SOH_DEFINITION = "discharge capacity ÷ rated capacity, a fraction; 0.7 is end of life"


class Verdict(BaseModel):
    """Whether what is forecast is a guess: one verdict for all that is forecast of a battery."""

    is_unlike_training: bool = Field(
        description="The last cycles are unlike those that the model learned from: no forecast of "
        "it has been tested, and intervals may cover less than 90 %"
    )
    unlike_training: list[str] = Field(
        description="In what: features, avg_current_load (given, or capacity ÷ time), soh"
    )


class NextCycle(Verdict):
    """The cycle that follows, with 90 % intervals: a function of the window's cycles alone."""

    predicted_soh: float | None = Field(
        description=f"SOH: {SOH_DEFINITION}. null where the rated capacity is not known: send "
        "rated_capacity_ah, or soh_target with each cycle"
    )
    soh_low: float | None = Field(description="Lower end of the 90 % interval")
    soh_high: float | None = Field(description="Upper end of the 90 % interval")
    soh_source: Literal["soh_target", "rated_capacity_ah", "training cells' rating"] | None = Field(
        description="What SOH is known by. The training cells' rating stands in only where the "
        "window is like theirs"
    )
    predicted_capacity_ah: float | None = Field(
        description="Ah; null where neither a cycle's capacity nor the rating is known"
    )
    capacity_low_ah: float | None = Field(description="Lower end of the 90 % interval")
    capacity_high_ah: float | None = Field(description="Upper end of the 90 % interval")
    features: str = Field(description="Which network answered: spec, extended, fleet or custom")
    reason: str = Field(description="Why this one: the window is like what it learned from, or …")
    rest_hours: float | None = Field(
        description="Rest before the predicted cycle that was reckoned with, h"
    )
    rest_source: str | None = Field(
        description="Where rest_hours comes from, or why a rest that was given did not count"
    )

    @classmethod
    def of(cls, prediction: Prediction) -> Self:
        return cls(**told(prediction))


def told(prediction: Prediction) -> dict[str, Any]:
    """Return what NextCycle says of a prediction."""
    return {
        **prediction._asdict(),
        "predicted_soh": prediction.soh,
        "predicted_capacity_ah": prediction.capacity_ah,
        "is_unlike_training": prediction.is_unlike_training,
    }


class Answer(BaseModel):
    """What every forecast says of itself."""

    model_version: str = Field(
        description="First 12 hexadecimal digits of the SHA-256 of model.pth, followed by "
        "model_extended.pth and model_fleet.pth where there are"
    )
    soh_definition: str = SOH_DEFINITION
    is_simulated: bool = Field(
        description="SIMULATED cells, not measurements, are behind this answer"
    )


class WindowAnswer(NextCycle, Answer):
    """The forecast from a posted window."""

    cycles_posted: int
    cycles_used: int = Field(description="The last so many of the posted cycles count")


class BatchAnswer(Answer):
    """The forecasts from posted windows, in their order."""

    predictions: list[NextCycle]


class OfBattery(Answer):
    """What is forecast of a battery that dbt has built."""

    battery_id: str
    learned_by: list[str] = Field(
        description="Networks that learned from a battery of this name: that they do well on it "
        "tells nothing of how they do on others"
    )


class BatteryAnswer(NextCycle, OfBattery):
    """The forecast from a battery's last cycles."""

    last_cycle_index: int = Field(description="The forecast is of the cycle after this one")


class EndOfLife(BaseModel):
    """Cycles from now to the end of life; 0: it is there; null: not within the horizon."""

    soh: float = Field(
        description="SOH at which it ends: 0.7, or 0.7 of the battery's first capacities where "
        "those were less, under this load and temperature"
    )
    cycles: int | None
    cycles_low: int | None = Field(description="Early end of the 90 % interval")
    cycles_high: int | None = Field(description="Late end of the 90 % interval")
    days: float | None = Field(
        description="The same in days, at the pace of the last 50 cycles; null where no times are "
        "known"
    )
    days_low: float | None
    days_high: float | None

    @classmethod
    def of(cls, trajectory: Trajectory, battery: Mapping[str, Any]) -> Self:
        """Tell it of a battery, a row of battery_summary: of one that is at its end, 0 cycles."""
        ends = trajectory.end_of_life, *trajectory.end_of_life_interval
        if is_over(battery):
            ends = 0, 0, 0
        days = partial(in_days, hours_per_cycle=battery["hours_per_cycle"])
        return cls(
            soh=trajectory.end_soh,
            cycles=ends[0],
            cycles_low=ends[1],
            cycles_high=ends[2],
            days=days(ends[0]),
            days_low=days(ends[1]),
            days_high=days(ends[2]),
        )


def is_over(battery: Mapping[str, Any]) -> bool:
    """Tell whether a battery is at its end of life: capacity may have come back since it was."""
    measure = "last_soh" if battery["end_of_life_measure"] == "soh" else "last_retention"
    is_below = battery[measure] is not None and battery[measure] < END_OF_LIFE_SOH
    return battery["end_of_life_cycle"] is not None and is_below


class Ahead(Verdict):
    """The state of health of the cycles to come."""

    horizon: int
    soh: list[float] = Field(description="SOH of the cycles after the last one, in their order")
    soh_low: list[float]
    soh_high: list[float]
    end_of_life: EndOfLife
    is_reached: bool = Field(description="Whether the end of life is reached within the horizon")


class ForecastAnswer(Ahead, OfBattery):
    """The state of health of the cycles to come; the first is the next cycle's prediction."""

    unit: str = Field("cycles", description="What the lists and end_of_life count")

    last_cycle_index: int = Field(description="soh begins with the cycle after this one")
    end_of_life_cycle: int | None = Field(description="Past cycle from which on it was below 70 %")
    next_truth_cycle: int | None = Field(
        description="Where not every cycle has a ground truth, as between reference discharges: "
        "the cycle that is due to have the next, at their present spacing"
    )
    next_truth_soh: float | None = Field(
        description="SOH of that cycle; null where it lies beyond the horizon"
    )


class OneStep(BaseModel):
    """What was predicted for a cycle from the window before it."""

    cycle_index: int
    predicted_soh: float
    soh_low: float
    soh_high: float
    features: str = Field(description="Which network answered: spec, extended, fleet or custom")
    is_unlike_training: bool = Field(description="Of the window that it was predicted from")
    soh: float | None = Field(description="What was measured; null for the cycle still to come")


class OneSteps(OfBattery):
    """One-step predictions of ground truths that have a window before them, and of what comes."""

    predictions: list[OneStep]
