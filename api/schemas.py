"""What is posted to the service: cycles, with the bounds that no cell leaves."""

from copy import deepcopy
from typing import Annotated, Any, NotRequired

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter, with_config
from typing_extensions import TypedDict

from model.forecast import Model

WINDOW = 50
JSON, CSV, PARQUET = "application/json", "text/csv", "application/vnd.apache.parquet"
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
PostedBatch = Annotated[list[Posted], Field(min_length=1, max_length=1000)]


def _bounds() -> dict[str, tuple[float, float]]:
    """Least and greatest value of each feature, as Cycle declares them."""
    found = {}
    for name, field in TypeAdapter(Cycle).json_schema()["properties"].items():
        (number,) = (it for it in field["anyOf"] if it["type"] == "number")
        above = np.nextafter(number.get("exclusiveMinimum", 0), np.inf)
        found[name] = (float(number.get("minimum", above)), float(number["maximum"]))
    return found


BOUNDS = _bounds()


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def body(schema: dict[str, Any], example: Any) -> dict[str, Any]:
    """Declare the JSON that a route reads by itself.

    Tables that it reads beside stand in its description: clients made from a schema with several
    kinds of bodies do not work.
    """
    content = {JSON: {"schema": schema, "examples": {"example": {"value": example}}}}
    return {"requestBody": {"required": True, "content": content}}


ONE_WINDOW = _ref("Window")
WINDOWS = {"type": "array", "items": ONE_WINDOW, "minItems": 1, "maxItems": 1000}


def described(schema: dict[str, Any], model: Model | None) -> dict[str, Any]:
    """Put into the OpenAPI schema what a window is, and what of it a model needs, if there is one.

    That is so many cycles and features, of which a rest may be null. A fleet network asks for no
    feature of its own.
    """
    asked = deepcopy(schema)
    config = model.spec.config if model and not model.fleet else None
    measured, rests = (config.measured, config.rests) if config else ((), ())
    shortest = model.shortest if model else 1
    cycle = TypeAdapter(Cycle).json_schema()
    names = [*measured, *rests]
    columns: dict[str, Any] = {
        "type": "object",
        "title": "WindowByColumn",
        "description": "A window by feature: the values of all its cycles, oldest first",
        "additionalProperties": False,
        "minProperties": 1,
        "required": names,
        "properties": {},
    }
    for name, field in cycle["properties"].items():
        kinds = [it for it in field.pop("anyOf") if it["type"] == "number" or name not in measured]
        about = {key: field.pop(key) for key in ("title", "description") if key in field}
        one = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
        field |= one | about
        columns["properties"][name] = {
            "type": "array", "items": one, "minItems": shortest, "maxItems": 1000, **about,
        }  # fmt: skip
    cycles = {
        "type": "array",
        "title": "WindowByCycle",
        "description": "A window by cycle, oldest first",
        "items": _ref("Cycle"),
        "minItems": shortest,
        "maxItems": 1000,
    }
    asked["components"]["schemas"] |= {
        "Cycle": cycle | {"required": names},
        "WindowByCycle": cycles,
        "WindowByColumn": columns,
        "Window": {"anyOf": [_ref("WindowByCycle"), _ref("WindowByColumn")], "title": "Window"},
    }
    for operations in asked["paths"].values():
        content = operations.get("post", {}).get("requestBody", {}).get("content", {})
        for example in content.get(JSON, {}).get("examples", {}).values():
            example["value"] = _of_length(example["value"], model.window if model else WINDOW)
    return asked


def _of_length(example: list[Any], window: int) -> list[Any]:
    """Give each window of an example so many cycles."""
    if isinstance(example[0], list):
        return [_of_length(it, window) for it in example]
    return [example[0]] * window
