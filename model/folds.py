"""Which training batteries are left out together, to choose and to measure on what was not seen."""

from collections.abc import Sequence

FEW = 10  # batteries, below which each is left out alone
FOLDS = 5


def by_battery(names: Sequence[str]) -> list[list[int]]:
    """Return the rows of the batteries left out in each turn."""
    return [[row] for row in range(len(names))] if len(names) < FEW else dealt(names)


def dealt(labels: Sequence[str]) -> list[list[int]]:
    """Deal batteries to at most FOLDS sets of rows, those of one label together."""
    names = sorted(set(labels))
    fold = {name: at % FOLDS for at, name in enumerate(names)}
    return [
        [row for row, label in enumerate(labels) if fold[label] == number]
        for number in range(min(FOLDS, len(names)))
    ]
