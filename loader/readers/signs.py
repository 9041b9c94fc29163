"""Which way a current flows: by option, by a state column, by the cycler's counters; and doubts."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from loader.battery import Samples
from loader.readers import phases
from loader.reading import Reading

HIGHEST_V = 2000.0  # no pack of a vehicle or a store reaches it
MOVING = 0.005  # of the highest voltage, is what a charge or discharge changes it by at least
OPTION = "--current-sign discharge-positive"


def charge_positive(
    samples: dict[str, Samples], reading: Reading
) -> tuple[Samples, tuple[str, ...]]:
    """Return the current [samples], positive on charge, and what was found out about its sign."""
    current, state = samples["current"], samples.get("state")
    if reading.current_sign is not None:
        return (-current if reading.current_sign == "discharge-positive" else current), ()
    flowing = np.abs(current) > phases.FLOWING * phases.nearly_largest(current)
    if state is not None and (flowing & (np.abs(state) == 1)).any():
        told = flowing & (np.abs(state) == 1)
        is_agreeing = np.sign(current[told]) == state[told]
        each = [is_agreeing[state[told] == it] for it in (1, -1)]
        agreeing = float(is_agreeing.mean())
        if all(it.size for it in each) and each[0].mean() > 0.9 and each[1].mean() < 0.1:
            return current * np.where(state == -1, -1.0, 1.0), ()  # it has no sign
        if agreeing < 0.1:
            return -current, ("current is positive on discharge, by the column of states",)
        if agreeing < 0.9:
            return current, (
                f"warning: the sign of the current contradicts the column of states in "
                f"{1 - agreeing:.0%} of the samples",
            )
        return current, ()
    counter = samples.get("discharge_counter")
    if counter is not None and flowing.any():
        rises = flowing & (np.diff(counter, prepend=counter[:1]) > 0)
        if rises.sum() > 10 and (current[rises] > 0).mean() > 0.95:
            return -current, ("current is positive on discharge, by the counter of discharge",)
    return current, ()


def doubts(recordings: Sequence[NamedTuple]) -> list[str]:
    """Say what makes the sign of the current look wrong."""
    rows: Sequence[Any] = recordings
    kinds = {it.recording_type for it in rows}
    if not kinds & {"charge", "discharge"}:
        return ["warning: no current flows: is --column current=NAME:UNIT needed?"]
    if "discharge" not in kinds or "charge" not in kinds:
        only = "charge" if "charge" in kinds else "discharge"
        return [
            f"warning: no current ever changes sign, so that there are only {only}s: name a column "
            f"of states with --column state=NAME, or, where discharge is positive, say {OPTION}"
        ]
    highest = max(float(np.nanmax(it.voltage_v, initial=0.0)) for it in rows)
    if highest > HIGHEST_V:
        return [f"warning: {highest:,.0f} V is much: in mV, say --column voltage=NAME:mV"]
    # A discharge with pulses ends with one or without, and one at a held voltage does not move it.
    own = [it for it in rows if it.recording_type == "discharge" and not (it.current_a > 0).any()]
    risen = [_rise(it.voltage_v) for it in own]
    still = MOVING * highest
    rising, falling = sum(it > still for it in risen), sum(it < -still for it in risen)
    if rising > falling:
        return [
            f"warning: voltage rises in {rising} and falls in {falling} discharges: if discharge "
            f"is positive in this file, say {OPTION}"
        ]
    return []


def _rise(voltage_v: Samples) -> float:
    finite = voltage_v[np.isfinite(voltage_v)]
    return float(finite[-1] - finite[0]) if finite.size > 1 else 0.0
