"""What is forecast of batteries that dbt has built, from the rows that the store gives of them."""

from dataclasses import dataclass

from api.predictor import Loaded
from api.store import Row, Store
from model import forecast as model
from model.forecast import Prediction, Trajectory

NOT_RATED = (
    "its rated capacity is not known, so that there is no state of health: load it again with "
    "--rated-capacity-ah"
)


def history(store: Store, battery_id: str) -> list[Row]:
    """All usable cycles of a battery, as the model takes them: features, and soh_target."""
    rows = store.rows("series", battery_id=battery_id)
    return [{**row["features"], "soh_target": row["soh"]} for row in rows]


def last_cycles(store: Store, loaded: Loaded, row: Row) -> list[Row]:
    """Return the cycles of a battery's last window; of a shorter life all."""
    last: list[Row] = row["last_cycles"] or []
    if len(last) < min(loaded.model.window, row["cycles"]):  # dbt keeps fewer than this model needs
        last = history(store, row["battery_id"])
    return last[-loaded.model.window :]


def lacking(row: Row) -> str | None:
    """Say what a battery lacks for any forecast; None if nothing."""
    if row["rated_capacity_ah"] is None:
        return NOT_RATED
    if not row["truth_soh"]:
        return "no cycle has ground truth: there is no state of health to go on from"
    return None


@dataclass(frozen=True)
class Outlook:
    """What is forecast of a battery."""

    unlike: list[str]  # in what it is unlike training: of both that follow
    next_cycle: Prediction | None  # None without a window
    trajectory: Trajectory


def outlooks(store: Store, loaded: Loaded, rows: list[Row], horizon: int) -> list[Outlook | None]:
    """Forecast batteries, the next cycle of all in one forward pass; None for who lacks a state."""
    able = {at: last_cycles(store, loaded, row) for at, row in enumerate(rows) if not lacking(row)}
    whole = [at for at, cycles in able.items() if len(cycles) >= loaded.model.shortest]
    answers = loaded.answers(
        [able[at] for at in whole], None, [rows[at]["rated_capacity_ah"] for at in whole]
    )
    next_cycles = {
        at: it for at, it in zip(whole, answers, strict=True) if isinstance(it, Prediction)
    }
    return [
        _outlook(loaded, row, able[at], next_cycles.get(at), horizon) if at in able else None
        for at, row in enumerate(rows)
    ]


def _outlook(
    loaded: Loaded, row: Row, cycles: list[Row], next_cycle: Prediction | None, horizon: int
) -> Outlook:
    if next_cycle:
        unlike = next_cycle.unlike_training
    else:
        unlike = model.unlike_training(loaded.model, cycles, row["rated_capacity_ah"])
    return Outlook(unlike, next_cycle, loaded.trajectory(row, cycles, horizon, next_cycle))
