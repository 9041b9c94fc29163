"""The evaluation in words: a summary for the terminal, and the model card."""

from collections.abc import Iterator
from typing import Any

import numpy as np

TRAJECTORIES = ("fade", "persistence", "line")
METHODS = ("network", "persistence", "drift", "ridge", "boosting")


def summary(report: dict[str, Any]) -> str:
    """RMSE of every method on the batteries of the specification's protocol, as text."""
    lines = [f"{'features':<10}{'battery':<10}" + "".join(f"{it:>13}" for it in METHODS)]
    for features, batteries in report["one_step"].items():
        for battery_id, it in batteries.items():
            figures = "".join(f"{it['methods'][name]['rmse']:>13.4f}" for name in METHODS)
            lines.append(f"{features:<10}{battery_id:<10}{figures}")
    if fleet := report["fleet"]["groups"]:
        lines += ["", f"{'fleet, left out':<28}{'windows':>8}{'÷ persistence':>15}{'coverage':>10}"]
        lines += [
            f"{group:<28}{it['windows']:>8.0f}{it['ratio']:>15.2f}{it['coverage']:>10.2f}"
            for group, it in fleet.items()
        ]
        lines.append(f"{'geometric mean':<28}{'':>8}{report['fleet']['ratio']:>15.2f}")
    return "\n".join(lines)


def card(report: dict[str, Any]) -> str:
    """The model card, Markdown: what was measured, how, and where the model fails."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: dict[str, Any]) -> Iterator[str]:
    yield from (
        "# Model card",
        "",
        "What it forecasts: the state of health (SOH, discharge capacity ÷ rated capacity) of the "
        "next cycle, from the 50 cycles before, or from 5 by `fleet`. Trained on some batteries, "
        "measured on others; epochs, intervals and scaling come from training batteries alone.",
        *(["", "**The cells are SIMULATED, not measured.**"] if report["simulated"] else []),
        "",
        f"## One cycle ahead (mean of {report['seeds']} seeds, RMSE in SOH)",
        "",
    )
    yield from _scores(report["one_step"])
    yield from ("", "## 90 % intervals", "")
    yield from _intervals(report["one_step"])
    yield from (
        "",
        f"## Fleet: each group of conditions left out in turn (mean of {report['fleet']['seeds']} "
        "seeds)",
        "",
    )
    yield from _fleet(report["fleet"])
    yield from ("", "## Spec and extended: each battery left out in turn (one seed)", "")
    yield from _scores(report["left_out"])
    yield from (
        "",
        "## Spec and extended: each group of conditions left out in turn (one seed)",
        "",
        "A skill below 0 is worse than saying that nothing changes: what was learned under other "
        "conditions does not carry over to these.",
        "",
    )
    for features, groups in report["groups"].items():
        yield from _scores({f"{features}, {group}": it for group, it in groups.items()})
        yield ""
    yield from ("## Many cycles ahead (battery left out)", "")
    yield (
        "| battery | from | RMSE, Ah | persistence | line | coverage | end of life | measured "
        "| error, cycles |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for battery_id, it in report["trajectories"].items():
        for origin, found in it["origins"].items():
            yield (
                f"| {battery_id} | {origin} | "
                + "".join(f"{found['rmse_ah'][name]:.4f} | " for name in TRAJECTORIES)
                + f"{found['coverage']:.2f} "
                f"| {found['end_of_life'] or 'not reached'} | {it['end_of_life'] or 'censored'} "
                f"| {'' if found['rul_error'] is None else found['rul_error']} |"
            )
    yield from ("", "## 16 past capacities (battery left out, RMSE in Ah)", "")
    yield "| battery | ridge | persistence |"
    yield "|---|---|---|"
    public = report["public_protocol"]
    for battery_id, it in public.items():
        yield f"| {battery_id} | {it['ridge']:.4f} | {it['persistence']:.4f} |"
    ridge, persistence = (np.mean([it[name] for it in public.values()]) for name in METHODS[3:0:-2])
    yield f"| mean | {ridge:.4f} | {persistence:.4f} |"


def _scores(by_label: dict[str, Any]) -> Iterator[str]:
    yield "| features | battery | network | skill | " + " | ".join(METHODS[1:]) + " | regenerated |"
    yield "|" + "---|" * (len(METHODS) + 4)
    for label, batteries in by_label.items():
        for battery_id, it in batteries.items():
            network = it["methods"]["network"]
            others = " | ".join(f"{it['methods'][name]['rmse']:.4f}" for name in METHODS[1:])
            spread = f" ± {network['rmse_std']:.4f}" if network["rmse_std"] else ""
            yield (
                f"| {label} | {battery_id} | {network['rmse']:.4f}{spread} "
                f"| {network['skill']:.2f} | {others} | {network['rmse_regeneration']:.4f} |"
            )


def _intervals(by_features: dict[str, Any]) -> Iterator[str]:
    yield "| features | battery | coverage | mean width |"
    yield "|---|---|---|---|"
    for features, batteries in by_features.items():
        for battery_id, it in batteries.items():
            interval = it["interval"]
            yield (
                f"| {features} | {battery_id} | {interval['coverage']:.3f} "
                f"| {interval['width']:.4f} |"
            )


def _fleet(fleet: dict[str, Any]) -> Iterator[str]:
    yield (
        "RMSE ÷ that of persistence; below 1 it carries over to conditions that it never learned "
        "from. Known are the rests, the charge before and the load of the coming cycle."
    )
    yield ""
    kinds = ("ordinary", "regeneration", "operating point")
    yield f"| left out | windows | all | {' | '.join(kinds)} | nothing known | coverage | width |"
    yield "|" + "---|" * (len(kinds) + 6)
    for group, it in fleet["groups"].items():
        by_kind = [it["kinds"].get(kind, {}).get("ratio") for kind in kinds]
        yield (
            f"| {group} | {it['windows']:.0f} | {it['ratio']:.2f} | "
            + " | ".join("" if ratio is None else f"{ratio:.2f}" for ratio in by_kind)
            + f" | {it['nothing known']['ratio']:.2f} | {it['coverage']:.2f} | {it['width']:.4f} |"
        )
    if fleet["groups"]:
        yield (
            f"| geometric mean | | {fleet['ratio']:.2f} | {fleet['ratio, ordinary']:.2f} | | "
            f"| {fleet['ratio, nothing known']:.2f} | | |"
        )
        lengths = ", ".join(f"{it}: {ratio:.2f}" for it, ratio in fleet["by length"].items())
        yield ""
        yield f"By cycles in the window, geometric mean over the groups: {lengths}."
