"""How the columns of CSV and Parquet files are read, as the command line says it."""

from dataclasses import dataclass, field

# Names of the Battery Data Format, https://battery-data-alliance.github.io/battery-data-format
COLUMNS = {
    "time": "test_time_second",
    "voltage": "voltage_volt",
    "current": "current_ampere",
    "temperature": "surface_temperature_celsius",
    "ambient": "ambient_temperature_celsius",
    "cycle": "cycle_count",
    "step": "step_count",
    "unix_time": "unix_time_second",
}


@dataclass(frozen=True)
class Mapping:
    """What the command line says of the files; its repr is part of what makes a load the same."""

    columns: dict[str, str] = field(default_factory=dict)  # one of COLUMNS: the files' own name
    current_sign: str = "charge-positive"  # or discharge-positive
    battery_id: str | None = None  # else the name of the file
    battery_column: str | None = None  # column that tells the battery, one file holding several
    rated_capacity_ah: float | None = None
    cutoff_v: float | None = None  # reference cut-off

    @property
    def names_batteries(self) -> bool:
        """Whether files belong together, because what they hold is not told by their names."""
        return bool(self.battery_id or self.battery_column)
