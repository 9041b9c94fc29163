"""What is wrong with a request, in the words of who sent it: what was sent, and what is needed."""

import json
import re
from typing import Any

from pydantic import TypeAdapter

from api.edge import SLASH
from api.schemas import Cycle

_FEATURES = TypeAdapter(Cycle).json_schema()["properties"]
_UNIT = r", (V|A|Ah|Wh|s|h|°C|ohm)$"  # how a feature's description ends
_SUFFIXES = {"_ah": "Ah", "_a": "A", "_c": "°C", "_hours": "h"}  # units live in names
_BOUNDS = ("gt", "ge", "lt", "le")
_LONGEST = 60  # characters of what was sent that are repeated

NUMBER, WHOLE_NUMBER, TRUTH, TEXT = "a number", "a whole number", "true or false", "text"
_NEEDED = {
    "float_type": NUMBER, "float_parsing": NUMBER, "finite_number": "a finite number",
    "int_type": WHOLE_NUMBER, "int_parsing": WHOLE_NUMBER, "int_parsing_size": WHOLE_NUMBER,
    "int_from_float": WHOLE_NUMBER, "bool_type": TRUTH, "bool_parsing": TRUTH,
    "string_type": TEXT, "string_unicode": TEXT, "list_type": "a list", "dict_type": "an object",
    "literal_error": "one of {expected}",
    "greater_than": "more than {gt}", "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}", "less_than_equal": "at most {le}",
    "string_too_short": "of at least {min_length} characters",
    "string_too_long": "of at most {max_length} characters",
}  # fmt: skip


def in_words(error: dict[str, Any], field: str | None, whole: str | None) -> str:
    """Say what one of pydantic's errors means.

    `field` is the feature or parameter at fault. Where there is none the body, a window or a cycle
    is: `whole` says what it has to be.
    """
    kind, limits = error["type"], error.get("ctx", {})
    if kind == "missing":
        return "it is missing" if field else f"the body is missing: it must be {whole}"
    if kind == "extra_forbidden":
        return f"no feature of a cycle is called so: there are {', '.join(_FEATURES)}"
    if kind in ("too_short", "too_long"):
        return _of_length(kind, limits, whole)
    if kind == "string_pattern_mismatch":  # the one there is
        return f"{_sent(error['input'])} was sent: it must be text without a NUL character"
    if kind not in _NEEDED:
        return str(error["msg"])
    unit = f" {_unit(field)}" if _unit(field) else ""
    bounds = {name: _number(it) + unit for name, it in limits.items() if name in _BOUNDS}
    needed = whole or _NEEDED[kind].format_map({**limits, **bounds})
    if needed == NUMBER and unit:
        needed += f", in{unit}"
    given = f"{error['input']}{unit}" if bounds else _sent(error["input"])
    return f"{given} was sent: it must be {needed}"


def _of_length(kind: str, limits: dict[str, Any], whole: str | None) -> str:
    items = (whole or "a list of values").removeprefix("a list of ")
    count = limits.get("actual_length")
    if kind == "too_short":
        return f"{count} {items} were sent: at least {limits['min_length']} are needed"
    many = f"{count:,}" if isinstance(count, int) else "more"
    return f"{many} {items} were sent: at most {limits['max_length']:,} are taken"


def _unit(field: str | None) -> str | None:
    if field is None:
        return None
    if field in _FEATURES:
        found = re.search(_UNIT, _FEATURES[field].get("description", ""))
        return found[1] if found else None
    return next((unit for end, unit in _SUFFIXES.items() if field.endswith(end)), None)


def _number(value: float) -> str:
    return f"{value:,.10g}"


def _sent(value: Any) -> str:
    """Repeat what was sent, as JSON where it is short, else what it is."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    text = json.dumps(value, ensure_ascii=False, default=str).replace(SLASH, "/")
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
