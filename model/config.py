"""Every knob of the trainer, its default the specification's, and the flags made from them."""

import argparse
from dataclasses import asdict, dataclass, field, fields
from typing import Any


def _knob(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class Config:
    """What makes one model; saved within it."""

    train: tuple[str, ...] = _knob(("B0005", "B0006"), "batteries to learn from")
    test: tuple[str, ...] = _knob(("B0007",), "batteries to be tested on, unseen in training")
    features: tuple[str, ...] = _knob(
        ("avg_voltage_load", "max_temperature", "time_to_discharge"),
        "features of cycle_series that the network sees",
    )
    window: int = _knob(50, "past cycles that the network sees")
    hidden_1: int = _knob(64, "units of the first LSTM")
    hidden_2: int = _knob(32, "units of the second LSTM")
    dropout: float = _knob(0.2, "share of the first LSTM's outputs dropped in training")
    epochs: int = _knob(100, "passes over the training windows")
    batch_size: int = _knob(32, "windows per step of the optimizer")
    learning_rate: float = _knob(1e-3, "step size of Adam")
    seed: int = _knob(0, "seed of every random number: same data, same seed, same model")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


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
