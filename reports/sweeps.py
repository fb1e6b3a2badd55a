"""How arms grow with one parameter: exponents of time and memory, and where the best changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from markupsafe import Markup

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.sweeps import Line, Sweep, change, power_law, sweeps
from keras_ab.bench.lab.words.metrics import PEAK_DEVICE_MEMORY, STEP_TIME
from keras_ab.reports.canvas import WIDTH
from keras_ab.reports.colours import HOLLOW, INK, MUTED
from keras_ab.reports.legible import label
from keras_ab.reports.machines import Machine

HEIGHT = 3.6
METRICS = tuple(metric.name for metric in (STEP_TIME, PEAK_DEVICE_MEMORY))
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")


@dataclass(frozen=True)
class SweptArm:
    """How one arm grows along a sweep."""

    arm: str
    exponents: list[str]
    changes: str


@dataclass(frozen=True)
class ShownSweep:
    """One sweep, as the page shows it."""

    anchor: str
    title: str
    fixed: str
    arms: list[SweptArm]
    figure: Markup | None


def of_machines(machines: Sequence[Machine]) -> list[ShownSweep]:
    """Return every sweep among the newest trials of each machine."""
    found = (_of_machine(machine, f"sweeps{n}") for n, machine in enumerate(machines, 1))
    if len(machines) < 2:
        return [shown for sweeps in found for shown in sweeps]
    return [
        replace(shown, title=f"{shown.title}, on {machine.name}")
        for machine, sweeps in zip(machines, found, strict=True)
        for shown in sweeps
    ]


def _of_machine(machine: Machine, anchor: str) -> Iterator[ShownSweep]:
    confidence = float(machine.runs[-1].header.plan.confidence)
    newest = (placed.trial.data for placed in machine.newest)
    for number, sweep in enumerate(sweeps(newest), 1):
        name = f"{anchor}s{number}"
        arms = [arm.name for arm in sweep.trials[0].declared.arms]
        lines = {arm: power_law(sweep, STEP_TIME.name, arm, confidence) for arm in arms}
        yield ShownSweep(
            anchor=name,
            title=f"{sweep.experiment}: {sweep.parameter} from {text.number(sweep.sizes[0])} "
            f"to {text.number(sweep.sizes[-1])}",
            fixed=", ".join(f"{key}={value}" for key, value in sweep.fixed.items()),
            arms=[_swept(sweep, arm, confidence) for arm in arms],
            figure=_figure(sweep, {a: line for a, line in lines.items() if line}, name),
        )


def _swept(sweep: Sweep, arm: str, confidence: float) -> SweptArm:
    lines = [power_law(sweep, metric, arm, confidence) for metric in METRICS]
    at = None if arm == sweep.trials[0].baseline else change(sweep, arm, confidence)
    return SweptArm(
        arm, [exponent(line) for line in lines], text.between(at, "1") if at else "not among these"
    )


def exponent(line: Line | None) -> str:
    """Return an exponent with its interval; a dash where there is none."""
    if line is None:
        return "–"
    e = line.exponent
    return f"{text.number(e.point)} [{text.number(e.low)}, {text.number(e.high)}]"


def _figure(sweep: Sweep, lines: dict[str, Line], name: str) -> Markup | None:
    """Draw step time over the parameter, both logarithmic, with the fitted lines."""
    if not lines or len(lines) > len(MARKS):
        return None
    import matplotlib as mpl  # few pages have a sweep, and none else needs it
    from matplotlib.figure import Figure

    from keras_ab.reports.svg import STYLE, inline

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, HEIGHT))
        axes = figure.add_axes((0.11, 0.15, 0.72, 0.81))
        axes.set(xscale="log", yscale="log")
        ends = np.array([sweep.sizes[0], sweep.sizes[-1]])
        for mark, (arm, line) in zip(MARKS, lines.items(), strict=False):
            times = [trial.step_time_s(arm) for trial in sweep.trials]
            axes.plot(sweep.sizes, times, mark, color=INK, mfc=HOLLOW, markersize=6, mew=1.5)
            axes.plot(ends, [line.at(x) for x in ends], color=MUTED, linewidth=1)
            axes.plot([], [], mark, color=INK, mfc=HOLLOW, mew=1.5, label=label(arm, 18))
        axes.minorticks_off()
        axes.set_xticks(sweep.sizes, [text.number(x) for x in sweep.sizes])
        axes.yaxis.set_major_formatter(lambda y, _: text.seconds(y))
        axes.set_xlabel(label(sweep.parameter), color=MUTED)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9)
    says = "; ".join(f"{arm}: exponent {exponent(line)}" for arm, line in lines.items())
    return inline(figure, name, f"Step time over {sweep.parameter}. {says}")
