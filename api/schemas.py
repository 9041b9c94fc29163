"""What is posted to the service: cycles, with the bounds that no cell leaves."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Annotated, Any, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

WINDOW = 50
Hours = Annotated[float, Field(ge=0, le=1e5, allow_inf_nan=False)]


def _between(low: float, high: float, description: str) -> Any:
    return Field(ge=low, le=high, description=description)


# A TypedDict: what is checked is then, as it stands, what the model takes.
@with_config(ConfigDict(extra="forbid", allow_inf_nan=False, strict=True))
class Cycle(TypedDict):
    """The features of one discharge, as in cycle_series; the bounds refuse what no cell can do.

    Which of them are needed is the model's to say: `GET /model`, features. Unless it was trained
    on others these are avg_voltage_load, max_temperature and time_to_discharge.
    """

    avg_voltage_load: NotRequired[
        Annotated[
            float | None,
            Field(gt=0, le=10, description="Voltage under load, averaged over time, V"),
        ]
    ]
    max_temperature: NotRequired[
        Annotated[float | None, _between(-60, 150, "Highest temperature of the battery, °C")]
    ]
    time_to_discharge: NotRequired[
        Annotated[
            float | None,
            Field(gt=0, le=1e6, description="From load-on to the reference cut-off, s"),
        ]
    ]
    discharge_capacity: NotRequired[
        Annotated[float | None, Field(gt=0, le=1e4, description="Charge delivered, Ah")]
    ]
    soh_target: NotRequired[
        Annotated[
            float | None,
            Field(
                ge=0,
                le=1.3,
                description="SOH, where it was measured: null for a cycle that was no full "
                "discharge at the same load and temperature",
            ),
        ]
    ]
    rest_hours: NotRequired[
        Annotated[float | None, _between(0, 1e5, "Rest since the discharge before, h")]
    ]
    rest_after_hours: NotRequired[
        Annotated[float | None, _between(0, 1e5, "Rest after the discharge, h")]
    ]
    rest_before_hours: NotRequired[
        Annotated[float | None, _between(0, 1e5, "Rest between charge and discharge, h")]
    ]
    charge_capacity: NotRequired[
        Annotated[float | None, _between(0, 1e4, "Charge taken in before, Ah")]
    ]
    cc_charge_time: NotRequired[
        Annotated[float | None, _between(0, 1e6, "Charging at constant current, s")]
    ]
    cv_charge_time: NotRequired[
        Annotated[float | None, _between(0, 1e6, "Charging at constant voltage, s")]
    ]
    avg_current_load: NotRequired[
        Annotated[float | None, _between(0, 1e4, "Discharge current, averaged over time, A")]
    ]
    min_voltage: NotRequired[
        Annotated[float | None, _between(0, 10, "Lowest voltage under load, V")]
    ]
    discharge_energy: NotRequired[Annotated[float | None, _between(0, 1e5, "Energy delivered, Wh")]]
    temperature_rise: NotRequired[
        Annotated[float | None, _between(-200, 200, "Highest less first temperature, °C")]
    ]
    ambient_temperature: NotRequired[
        Annotated[float | None, _between(-60, 150, "Ambient temperature, °C")]
    ]
    voltage_at_load_on: NotRequired[
        Annotated[float | None, _between(0, 10, "Voltage when the load comes on, V")]
    ]
    ohmic_resistance: NotRequired[
        Annotated[float | None, _between(0, 10, "From the voltage's step at load-on, ohm")]
    ]
    internal_resistance: NotRequired[
        Annotated[float | None, _between(0, 10, "Internal resistance, ohm")]
    ]
    charge_transfer_resistance: NotRequired[
        Annotated[float | None, _between(0, 10, "From the impedance sweep before, ohm")]
    ]
    throughput_ah: NotRequired[
        Annotated[float | None, _between(0, 1e9, "Charge delivered in its life so far, Ah")]
    ]
    equivalent_full_cycles: NotRequired[
        Annotated[float | None, _between(0, 1e6, "Throughput ÷ rated capacity, a count")]
    ]
    operating_point: NotRequired[
        Annotated[float | None, _between(1, 1e4, "Number of its load and ambient temperature")]
    ]
    capacity_retention: NotRequired[
        Annotated[float | None, _between(0, 10, "Capacity ÷ its first ones at the operating point")]
    ]
    cycles_at_operating_point: NotRequired[
        Annotated[float | None, _between(0, 1e6, "Ground-truth discharges there so far, a count")]
    ]


EXAMPLE_CYCLE = {
    "avg_voltage_load": 3.55,
    "max_temperature": 38.9,
    "time_to_discharge": 3311.0,
    "discharge_capacity": 1.86,
    "rest_hours": 3.1,
    "rest_after_hours": 0.2,
    "rest_before_hours": 0.2,
}
EXAMPLE_WINDOW = [EXAMPLE_CYCLE] * WINDOW

# How many a window needs is the model's to say.
Posted = Annotated[list[Cycle], Field(min_length=1, max_length=1000)]


def asking_for(
    schema: dict[str, Any], measured: Sequence[str], rests: Sequence[str], window: int
) -> dict[str, Any]:
    """Return the OpenAPI schema with what a model needs: of how many cycles, a rest may be null."""
    asked = deepcopy(schema)
    for path in ("/v1/predict", "/v1/predict/batch"):
        body = asked["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        one = body["schema"] if path == "/v1/predict" else body["schema"]["items"]
        one["minItems"] = window
        for example in body["examples"].values():
            example["value"] = _of_length(example["value"], window)
    cycle = asked["components"]["schemas"]["Cycle"]
    cycle["required"] = [*measured, *rests]
    for name in measured:
        field = cycle["properties"][name]
        (number,) = (it for it in field.pop("anyOf") if it["type"] == "number")
        field |= number
    return asked


def _of_length(example: list[Any], window: int) -> list[Any]:
    """Give each window of an example so many cycles."""
    if isinstance(example[0], list):
        return [_of_length(it, window) for it in example]
    return [example[0]] * window
