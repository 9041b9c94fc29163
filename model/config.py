"""Every knob of the trainer, and the flags made from them."""

import argparse
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

INPUTS = {
    "avg_voltage_load": "voltage under load, averaged over time, V",
    "max_temperature": "highest temperature of the battery, °C",
    "time_to_discharge": "from load-on to the reference cut-off, s",
    # known when the cycle to predict begins: they explain how much capacity comes back
    "rest_after_hours": "rest of the discharged cell before the cycle to predict, h",
    "rest_before_hours": "rest of the charged cell before the cycle to predict, h",
}
MEASURED = tuple(INPUTS)[:3]
RESTS = tuple(INPUTS)[3:]
# what the fleet network sees is all of a cycle: fleet.INPUTS
PRESETS = {"spec": MEASURED, "extended": (*MEASURED, *RESTS), "fleet": ()}


def _knob(default: Any, text: str, choices: tuple[str, ...] | None = None) -> Any:
    return field(default=default, metadata={"help": text, "choices": choices})


@dataclass(frozen=True)
class Config:
    """What makes one model; saved within it."""

    train: tuple[str, ...] = _knob(
        ("B0005", "B0006"), "batteries to learn from, two or more; all: every one but those to test"
    )
    test: tuple[str, ...] = _knob(("B0007",), "batteries to be tested on, unseen in training")
    target: str = _knob(
        "change",
        "what the network's output is: the change since the last cycle's SOH, or the SOH itself",
        ("change", "absolute"),
    )
    features: tuple[str, ...] = _knob(
        ("spec",),
        "spec: voltage, temperature and time; extended: the rests before the cycle to predict too; "
        "fleet: what carries over to other cells; or any columns of cycle_features",
    )
    window: int = _knob(50, "past cycles that the network sees")
    hidden_1: int = _knob(64, "units of the first LSTM")
    hidden_2: int = _knob(32, "units of the second LSTM")
    dropout: float = _knob(0.2, "share of the first LSTM's outputs dropped in training")
    noise: float = _knob(0.2, "noise added to the inputs in training, in their standard deviations")
    epochs: int = _knob(
        0, "passes over the training windows; 0: chosen by leaving each training battery out"
    )
    batch_size: int = _knob(32, "windows per step of the optimizer")
    learning_rate: float = _knob(3e-3, "step size of Adam")
    seed: int = _knob(0, "seed of every random number: same data, same seed, same model")

    @property
    def preset(self) -> str:
        """What the features are called: spec, extended, fleet or custom."""
        (first, *others) = self.features
        return first if first in PRESETS and not others else "custom"

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Names of the network's inputs, in order."""
        return self.measured + self.rests

    @cached_property
    def measured(self) -> tuple[str, ...]:
        """Those that are measured in each past cycle."""
        return tuple(name for name in self._named if name not in RESTS)

    @cached_property
    def rests(self) -> tuple[str, ...]:
        """Those that are known when the cycle to predict begins."""
        return tuple(name for name in RESTS if name in self._named)

    @cached_property
    def columns(self) -> list[int]:
        """Where the inputs stand in a window, which has the measured ones and all of RESTS."""
        first = len(self.measured)
        return [*range(first), *(first + RESTS.index(name) for name in self.rests)]

    @cached_property
    def _named(self) -> list[str]:
        return list(
            dict.fromkeys(it for name in self.features for it in PRESETS.get(name, (name,)))
        )


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add a flag for every knob of Config to the parser."""
    for knob in fields(Config):
        default: Any = knob.default
        many = isinstance(default, tuple)
        shown = " ".join(default) if many else default
        parser.add_argument(
            "--" + knob.name.replace("_", "-"),
            type=str if many else type(default),
            nargs="+" if many else None,
            choices=knob.metadata["choices"],
            default=default,
            help=f"{knob.metadata['help']} (default: {shown})",
        )


def from_flags(arguments: argparse.Namespace) -> Config:
    """Return the configuration that the parsed flags describe."""
    given: dict[str, Any] = {}
    for knob in fields(Config):
        value = getattr(arguments, knob.name)
        given[knob.name] = tuple(value) if isinstance(value, list) else value
    return Config(**given)
