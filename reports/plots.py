"""Figures for a notebook, one line each: the forest, the rounds, the history of an experiment."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.findings import Finding
from keras_ab.bench.lab.words.errors import RecordError
from keras_ab.bench.lab.words.metrics import STEP_TIME
from keras_ab.reports.figures import ends, paired_rounds
from keras_ab.reports.history import histories
from keras_ab.reports.judged import JudgedTrial
from keras_ab.reports.legible import legible, short_names
from keras_ab.reports.loading import Runs
from keras_ab.reports.machines import machines

COLOURS = {
    "better": "#0b62a8",
    "worse": "#8a5a00",
    "equivalent": "#4d535c",
    "inconclusive": "#a3a8b1",
}


class Plot(Figure):
    """A matplotlib figure that a notebook shows wherever it ends a cell."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=110)
        return file.getvalue()


def plot(
    runs: Runs, what: str = "forest", experiment: str | None = None, metric: str = STEP_TIME.name
) -> Plot:
    """Draw what runs found.

    Args:
        runs: what `load` returned.
        what: ``forest``, each arm against its baseline with its interval; ``rounds``, each paired
            round; ``history``, each arm over the runs of a machine.
        experiment: draw this one alone; None for all.
        metric: what a forest is of; the others are of step time.

    Raises:
        RecordError: for another kind of figure, and where nothing is there to draw.
    """
    if what not in KINDS:
        raise RecordError(
            f"a figure is one of {', '.join(KINDS)}", repr(what), "write plot(runs, 'forest')"
        )
    return KINDS[what](runs, experiment, metric)


def _trials(runs: Runs, experiment: str | None) -> list[tuple[str, JudgedTrial]]:
    newest = [placed.trial for machine in machines(runs.runs) for placed in machine.newest]
    names = short_names([trial.data.declared for trial in newest])
    found = [
        (name, trial)
        for name, trial in zip(names, newest, strict=True)
        if experiment in (None, trial.data.declared.experiment)
    ]
    if not found:
        known = sorted({trial.data.declared.experiment for trial in newest})
        raise RecordError(
            "an experiment to draw was measured", repr(experiment), f"name one of {known}"
        )
    return found


def _forest(runs: Runs, experiment: str | None, metric: str) -> Plot:
    found = [
        (f"{name}: {f.arm}", f)
        for name, trial in _trials(runs, experiment)
        for f in trial.findings
        if f.metric.name == metric
    ]
    if not found:
        raise RecordError("a forest has rows", f"none has {metric!r}", "name another metric")
    figure, (axes,) = _figure(1, 0.32 * len(found) + 1.2)
    for row, (_, finding) in enumerate(found):
        _bar(axes, finding, row)
    axes.set_yticks(range(len(found)), [legible(name, 60) for name, _ in found])
    axes.invert_yaxis()
    first = found[0][1]
    margin = first.thresholds.margin
    axes.axvspan(first.shown(-margin), first.shown(margin), color="#ecece6", zorder=0)
    axes.axvline(first.shown(0.0), color="#5b616b", lw=1)
    _ratio_axis(axes, first, "x")
    return figure


def _bar(axes: Axes, finding: Finding, row: float) -> None:
    colour = COLOURS[str(finding.verdict)]
    low, high = (finding.shown(x) for x in ends(finding.estimate))
    axes.plot([low, high], [row, row], color=colour, lw=3, solid_capstyle="butt")
    axes.plot([finding.shown(finding.estimate.point)], [row], "o", color=colour, mfc="white")


def _ratio_axis(axes: Axes, finding: Finding, side: str) -> None:
    title = legible(finding.metric.title, 60)
    if finding.metric.scale == "difference":
        axes.set(**{f"{side}label": f"{title}, difference from the baseline"})
        return
    axes.set(**{f"{side}scale": "log", f"{side}label": f"{title}, ratio to the baseline"})
    axis = axes.xaxis if side == "x" else axes.yaxis
    axis.set_major_formatter(lambda x, _: text.ratio(x))
    axis.set_minor_formatter(lambda x, _: text.ratio(x) if _is_round(x) else "")


def _is_round(x: float) -> bool:
    return any(math.isclose(x, mark) for mark in (0.2, 0.5, 2, 5, 20, 50))


def _rounds(runs: Runs, experiment: str | None, _metric: str) -> Plot:
    found = [
        (f"{name}: {arm}", trial, arm)
        for name, trial in _trials(runs, experiment)
        for arm in trial.data.treatments
        if trial.find(arm, STEP_TIME.name)
    ]
    if not found:
        raise RecordError("rounds to draw were measured", "none", "name another experiment")
    figure, rows = _figure(len(found), 1.3 * len(found) + 0.8)
    for axes, (name, trial, arm) in zip(rows, found, strict=True):
        paired, start = paired_rounds(trial, arm), 0
        for ratios, centre in zip(paired.ratios, paired.centres, strict=True):
            span = range(start, start + len(ratios))
            axes.plot(span, [math.exp(x) for x in ratios], ".", ms=3, color="#a3a8b1")
            axes.plot([span[0], span[-1]], [math.exp(centre)] * 2, color="#0b62a8", lw=2)
            start += len(ratios)
        axes.axhline(1, color="#5b616b", lw=1)
        axes.set_title(legible(name, 80), fontsize=9, loc="left")
    rows[-1].set_xlabel("rounds, block after block; the line is a block’s centre")
    return figure


def _history(runs: Runs, experiment: str | None, _metric: str) -> Plot:
    found = [
        series
        for series in histories(machines(runs.runs))
        if experiment in (None, series.key.experiment)
    ]
    if not found:
        raise RecordError(
            "a history has at least two runs of one trial on one machine",
            f"none of {experiment or 'any experiment'} in {text.count(len(runs.runs), 'run')}",
            "measure again, and load both runs",
        )
    figure, rows = _figure(len(found), 2.0 * len(found) + 0.8)
    for axes, series in zip(rows, found, strict=True):
        for arm in series.arms:
            points = [(n, f) for n, m in enumerate(series.moments, 1) if (f := m.find(arm))]
            numbers = [n for n, _ in points]
            lows, highs = zip(*(map(f.shown, ends(f.estimate)) for _, f in points), strict=True)
            middles = [f.shown(f.estimate.point) for _, f in points]
            axes.plot(numbers, middles, "o-", label=legible(arm, 40))
            axes.fill_between(numbers, lows, highs, alpha=0.2)
        for n, moment in enumerate(series.moments, 1):
            if moment.changed:
                axes.axvline(n - 0.5, ls="--", color="#5b616b", lw=1)
        axes.axhline(1, color="#5b616b", lw=1)
        axes.set_xticks(range(1, len(series.moments) + 1))
        axes.set_title(legible(series.key.says, 80), fontsize=9, loc="left")
        axes.legend(fontsize=8)
    rows[-1].set_xlabel("run, oldest first; dashed: the environment changed before it")
    return figure


def _figure(rows: int, height: float) -> tuple[Plot, Sequence[Axes]]:
    figure = Plot(figsize=(8, height), layout="constrained")
    return figure, list(figure.subplots(rows, 1, squeeze=False)[:, 0])


KINDS: dict[str, Callable[[Runs, str | None, str], Plot]] = {
    "forest": _forest,
    "rounds": _rounds,
    "history": _history,
}
