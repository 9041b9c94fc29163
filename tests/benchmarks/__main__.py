"""Runs every benchmark and writes docs/benchmarks.md from it: `make bench`.

python -m tests.benchmarks [NAME …]   only these, and nothing is written
"""

import os
import platform
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

import psutil
from matplotlib.figure import Figure as Picture

from tests.benchmarks.figures import Figure, told

DOCS = Path(__file__).parents[2] / "docs"
SECTIONS = {
    "loader": "Loading",
    "features": "Features",
    "pieces": "One more day of one battery",
    "fleet": "A large fleet",
    "training": "Training",
    "service": "The service",
}
INTRODUCTION = """\
# Benchmarks

Written by `make bench`, all from one run. Each figure is a ratio of two that were measured in that
run, by turns: ours, and what a user could do instead, or the same at a smaller size. Ratios are
what can be compared between machines; seconds are those of this one."""


def main(names: Sequence[str]) -> int:
    """Run the benchmarks named, or all; returns 1 where a name is none."""
    if unknown := [it for it in names if it not in SECTIONS]:
        print(f"there is no benchmark {', '.join(unknown)}: there are {', '.join(SECTIONS)}")
        return 1
    begun = time.monotonic()
    found = {}
    for name in names or SECTIONS:
        print(f"== {SECTIONS[name].lower()}", flush=True)
        found[name] = told(import_module(f"tests.benchmarks.{name}").measure())
    if not names:
        (DOCS / "benchmarks.md").write_text(
            _page(found, (time.monotonic() - begun) / 60), encoding="utf-8"
        )
        _draw([it for figures in found.values() for it in figures])
        print(f"wrote {DOCS / 'benchmarks.md'} and its picture")
    return 0


def _page(found: dict[str, list[Figure]], minutes: float) -> str:
    asked = [it for figures in found.values() for it in figures if it.is_met is not None]
    met = sum(it.is_met is True for it in asked)
    memory_gb = psutil.virtual_memory().total / 1e9
    parts = [
        INTRODUCTION,
        f"{datetime.now(UTC):%Y-%m-%d}, {minutes:.0f} minutes on {os.cpu_count()} cores"
        f" ({platform.machine()}), {memory_gb:.0f} GB; Python {platform.python_version()}, "
        f"torch {version('torch')}. {met} of {len(asked)} figures are what is asked.",
        "![Each ratio, with what is asked](benchmarks.svg)",
    ]
    for name, figures in found.items():
        parts.append(f"## {SECTIONS[name]}\n\n`python -m tests.benchmarks.{name}`")
        parts.append("\n".join([*HEAD, *map(_row, figures)]))
    return "\n\n".join(parts) + "\n"


HEAD = ("| what | ratio | asked | ours | compared with | theirs |", "|---|--:|---|--:|---|--:|")


def _row(it: Figure) -> str:
    ratio = f"**{it.ratio:.2f}** (missed)" if it.is_met is False else f"{it.ratio:.2f}"
    ours, theirs = (f"{value:.3g} {it.unit}" for value in (it.ours, it.theirs))
    return f"| {it.what} | {ratio} | {it.asked} | {ours} | {it.than} | {theirs} |"


def _draw(figures: Sequence[Figure]) -> None:
    """Draw every ratio, a row each, and over the size of the fleet what grows with it."""
    sized = [it for it in figures if it.size]
    others = [it for it in figures if not it.size]
    curves = {name: [*own] for name, own in groupby(sorted(sized, key=_name_and_size), key=_name)}
    picture = Picture(figsize=(9, 0.3 * len(others) + 0.3 * len(curves) + 2), layout="constrained")
    top, bottom = picture.subplots(2, 1, height_ratios=(len(others), len(curves) or 1))
    for axes, rows in (
        (top, [(it.what, [it]) for it in others]),
        (bottom, [*curves.items()]),
    ):
        for row, (_, own) in enumerate(rows):
            for it in own:
                color = {None: "0.5", True: "tab:blue", False: "tab:red"}[it.is_met]
                axes.plot(it.ratio, row, "o", color=color)
                bound = it.at_most or it.at_least
                if bound:
                    axes.plot(bound, row, "|", color="black", markersize=12)
        axes.set_yticks(range(len(rows)), [name for name, _ in rows], fontsize=7)
        axes.invert_yaxis()
        axes.axvline(1, color="0.8", zorder=0)
        axes.grid(axis="x", color="0.93")
    top.set_xscale("log")
    top.set_xlabel("ratio; bar: what is asked; red: missed")
    bottom.set_xlabel("cost of a cell in the large fleet ÷ in the small one")
    picture.savefig(DOCS / "benchmarks.svg", metadata={"Date": None})


def _name(figure: Figure) -> str:
    return figure.what.rpartition(", ")[0]


def _name_and_size(figure: Figure) -> tuple[str, int]:
    return _name(figure), figure.size or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
