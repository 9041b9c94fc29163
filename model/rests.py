"""How long a cell rested before a cycle, and may rest before the one to come."""

import numpy as np

from model import columns
from model.columns import Array

NAMES = ("rest_after_hours", "rest_before_hours", "rest_hours")


def parts(told: Array) -> Array:
    """Return the hours a cell rested discharged and rested charged before each cycle [… cycles, 2].

    `told` [… cycles, NAMES] is NaN where a feature is lacking. Where no charge is recorded in
    between, all of the time since the discharge counts as the first; where nothing is, both are 0.
    """
    made = told[..., :2].copy()
    np.copyto(made[..., 0], told[..., 2], where=np.isnan(made[..., 0]))
    made[np.isnan(made)] = 0
    return made


def coming(told: Array, spent: Array, given: Array) -> Array:
    """Hours, discharged, charged and in all, before the cycle after each window [windows, 3].

    `told` [windows, cycles, NAMES], `spent` its `parts`, `given` [windows] in all. Charging and the
    rest after it take as long as they did in the middle of the window; what is left of the time
    given is rest before charging. Where none is given, all of it is as in the middle of the window.
    """
    hours, after, before = told[..., 2], spent[..., 0], spent[..., 1]
    each = np.array([after, before, hours, np.maximum(hours - after - before, 0)])
    usual = columns.median(np.where(np.isfinite(hours), each, np.nan))
    is_told = np.isfinite(usual[2])
    after, before, rest, charging = np.nan_to_num(usual)
    idle = np.maximum(np.nan_to_num(given) - charging, 0)
    charged = np.where(is_told, np.minimum(before, idle), idle)
    by_given = np.stack([idle - charged, charged, given], axis=-1)
    by_usual = np.stack([after, before, rest], axis=-1)
    return np.where(np.isnan(given)[:, None], by_usual, by_given)
