"""What the command line says of the files that their bytes do not."""

from dataclasses import dataclass, field

# What a column of a table of samples can be; `:UNIT` of an option is one of readers/units.py.
ROLES = {
    "time": "time since the start of the test",
    "step_time": "time since the start of the step",
    "clock": "date and time",
    "voltage": "voltage at the battery",
    "current": "current at the battery",
    "temperature": "temperature of the battery",
    "ambient": "temperature around it",
    "cycle": "number of the cycle",
    "step": "number of the step",
    "state": "charge, discharge or rest, in letters or words",
    "charge_counter": "charge taken in, as the cycler counts it",
    "discharge_counter": "charge delivered, as the cycler counts it",
    "capacity": "charge that has passed, of either direction, as the cycler counts it",
    "battery": "which battery it is",
}


@dataclass(frozen=True)
class Column:
    """A column named on the command line, with its unit where that is said too."""

    name: str
    unit: str | None = None


@dataclass(frozen=True)
class Reading:
    """How files are to be read; its repr is part of what makes two loads the same."""

    columns: dict[str, Column] = field(default_factory=dict)  # by role
    current_sign: str | None = None  # charge-positive or discharge-positive; else as the file says
    battery_id: str | None = None  # else the name of the file
    battery_column: str | None = None  # column that tells the battery, one file holding several
    rated_capacity_ah: float | None = None
    cutoff_v: float | None = None  # reference cut-off
    full_charge_v: float | None = None
    ambient_temperature_c: float | None = None

    @property
    def names_batteries(self) -> bool:
        """Whether files belong together, because what they hold is not told by their names."""
        return bool(self.battery_id or self.battery_column)
