"""Units that headers write, and what turns a value into the project's own: s, V, A, °C, Ah."""

import re
from typing import NamedTuple


class Unit(NamedTuple):
    """`value * scale + offset` is in the project's unit of `quantity`."""

    quantity: str
    scale: float
    offset: float = 0.0


# How each unit is written, without blanks, dots and degree signs; the first as people read it.
SPELLINGS = {
    Unit("time", 1.0): "s sec secs second seconds",
    Unit("time", 1e-3): "ms msec millisecond milliseconds",
    Unit("time", 60.0): "min mins minute minutes",
    Unit("time", 3600.0): "h hr hrs hour hours",
    Unit("time", 86400.0): "d day days",
    Unit("voltage", 1.0): "V volt volts",
    Unit("voltage", 1e-3): "mV millivolt millivolts",
    Unit("current", 1.0): "A amp amps ampere amperes",
    Unit("current", 1e-3): "mA milliamp milliamps milliampere milliamperes",
    Unit("current", 1e-6): "µA uA μA microamp microampere",
    Unit("temperature", 1.0): "C degC dC celsius ℃ ¡æ ? degreecelsius degreescelsius",
    Unit("temperature", 1.0, -273.15): "K degK kelvin",
    Unit("temperature", 5 / 9, -160 / 9): "F degF fahrenheit ℉",
    Unit("charge", 1.0): "Ah amp-hr ampere-hour amperehour amphour",
    Unit("charge", 1e-3): "mAh milliampere-hour milliamperehour",
    Unit("charge", 1e-6): "µAh uAh μah",
    Unit("charge", 1 / 3600): "As coulomb coulombs",
}
UNITS = {it.casefold(): unit for unit, names in SPELLINGS.items() for it in names.split()}
QUANTITIES = {
    "time": "time",
    "step_time": "time",
    "voltage": "voltage",
    "current": "current",
    "temperature": "temperature",
    "ambient": "temperature",
    "charge_counter": "charge",
    "discharge_counter": "charge",
    "capacity": "charge",
}
# Not units, but written where a unit stands: how a time or a date is spelt.
SPELT = re.compile(r"[dhmsy:./\- ]*(h+|hr|d+|m+|min)[:/\-. ][dhmsy:./\- a-z]*", re.IGNORECASE)


def unit(text: str) -> Unit | None:
    """Return what a header's unit means; None where it is no unit known."""
    return UNITS.get(re.sub(r"[\s.°º�]|&deg;", "", text.strip().strip("[](){}")).casefold())


def is_spelling(text: str) -> bool:
    """Tell whether a header says how a time is spelt instead of its unit: `h:min:s.ms`."""
    return SPELT.fullmatch(text.strip()) is not None or "hh:mm" in text.casefold()
