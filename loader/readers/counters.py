"""What the cycler itself counted: the charge of each recording, and when its step began."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from loader.battery import Samples

DISAGREEMENT = 0.1  # far more than intervals that were missed, and less than any other unit
PULSES = 0.01  # share of all that flows, above which a counter of one direction tells too much
LEAST = 0.1  # of the largest discharge: what is missed between samples weighs too much in less


def lead_in(samples: dict[str, Samples], counted: dict[int, Samples]) -> Samples:
    """Time from the start of a sample's step, at the earliest from the sample before it, s.

    The clock of the step tells it, or else what the cycler's counter says has flowed; where there
    is neither, the step is taken to have begun with the sample before.
    """
    before = np.diff(samples["time"], prepend=np.nan)
    if "step_time" in samples:
        return np.fmin(samples["step_time"], before)
    lead = before
    current = samples["current"]
    for kind, risen in counted.items():
        flows = current * kind > 0
        flowed_s = np.divide(risen * 3600, np.abs(current), where=flows, out=before.copy())
        lead = np.where(flows, np.minimum(flowed_s, before), lead)
    return lead


def counted(samples: dict[str, Samples]) -> dict[int, Samples]:
    """Charge between each sample and the one before it as the cycler counts it, Ah, by kind."""
    counted = {}
    for kind, role in ((1, "charge_counter"), (-1, "discharge_counter")):
        counter = samples.get(role, samples.get("capacity"))
        if counter is not None and np.nanmax(counter) > np.nanmin(counter):  # not a column of zeros
            # One that falls runs down, or has started again: then it is what flowed since.
            counted[kind] = np.minimum(
                np.abs(np.diff(counter, prepend=counter[:1])), np.abs(counter)
            )
    return counted


def total(
    counted: dict[int, Samples], current: Samples, kind: int, start: int, end: int
) -> float | None:
    """Charge of a recording, less what pulses moved the other way, Ah; None where not counted."""
    own, other = counted.get(kind), counted.get(-kind)
    if own is None or np.isnan(own[start:end]).all():
        return None
    size = np.abs(current[start:end])
    is_pulse = current[start:end] * kind < 0
    if other is not None:
        return float(np.nansum(np.where(is_pulse, -other[start:end], own[start:end])))
    if size[is_pulse].sum() > PULSES * size.sum():
        return None
    return float(np.nansum(own[start:end]))


def disagreement(recordings: Sequence[Any]) -> list[str]:
    """Warn where discharges deliver quite another charge, in the median, than was counted."""
    own = [it for it in recordings if it.recording_type == "discharge" and it.counted_ah]
    largest_ah = max((it.counted_ah for it in own), default=0.0)
    own = [it for it in own if it.counted_ah > LEAST * largest_ah]
    current = [np.nan_to_num(it.current_a) for it in own]
    ratios = [
        float(-np.trapezoid(i, it.time_s) / 3600 / it.counted_ah)
        for it, i in zip(own, current, strict=True)
    ]
    if not ratios or abs(np.median(ratios) - 1) < DISAGREEMENT:
        return []
    return [
        f"warning: current times time makes {np.median(ratios):.3g} of what the cycler counted: "
        "is a unit another? say --column time=NAME:UNIT or --column current=NAME:UNIT"
    ]
