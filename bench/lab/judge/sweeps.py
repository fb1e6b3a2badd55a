"""How a metric grows with one parameter of a case: exponents, and where the better arm changes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from keras_ab.bench.lab.judge.estimate import Estimate, Middle, t_quantile
from keras_ab.bench.lab.judge.findings import mean_value
from keras_ab.bench.lab.record.trial_data import TrialData

LEAST_POINTS = 4
"""Cases of a sweep: a line through fewer has too little left to tell its error from."""


@dataclass(frozen=True)
class Sweep:
    """The trials of one experiment whose cases differ in one number alone, in its order."""

    experiment: str
    parameter: str
    fixed: dict[str, object]
    trials: list[TrialData]

    @property
    def sizes(self) -> list[float]:
        """The values of the parameter."""
        return [float(trial.declared.case[self.parameter] or 0) for trial in self.trials]


def sweeps(trials: Iterable[TrialData]) -> list[Sweep]:
    """Return every sweep among trials; a trial can be in one for each of its parameters."""
    groups: dict[tuple[object, ...], list[TrialData]] = {}
    for trial in trials:
        case = trial.declared.case
        for name, value in case.items():
            if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
                rest = sorted((key, value) for key, value in case.items() if key != name)
                groups.setdefault((trial.declared.experiment, name, *rest), []).append(trial)
    return [
        Sweep(str(experiment), str(name), dict(rest), _ordered(found, str(name)))  # type: ignore[arg-type]
        for (experiment, name, *rest), found in groups.items()
        if len({trial.declared.case[str(name)] for trial in found}) >= LEAST_POINTS
    ]


def _ordered(trials: list[TrialData], name: str) -> list[TrialData]:
    return sorted(trials, key=lambda trial: float(trial.declared.case[name] or 0))


@dataclass(frozen=True)
class Line:
    """A straight line through logarithms, ``ln y = mean + exponent · (ln x - centre)``.

    Args:
        centre: mean of ``ln x``.
        mean: mean of ``ln y``.
        exponent: the slope with its interval; its blocks are the points.
        residual: standard deviation about the line.
        spread: ``Σ (ln x - centre)²``.
    """

    centre: float
    mean: float
    exponent: Estimate
    residual: float
    spread: float

    def at(self, x: float) -> float:
        """Return y on the line."""
        return math.exp(self.mean + self.exponent.point * (math.log(x) - self.centre))


def fit(x: Sequence[float], y: Sequence[float], confidence: float) -> Line | None:
    """Return the power law ``y = c · x^exponent`` that fits best; None with too few points.

    Least squares on logarithms; the exponent's t interval has n - 2 degrees of freedom, so that it
    widens where the growth is no power law.

    Args:
        x: sizes, positive.
        y: one positive value a size.
        confidence: level of the interval.
    """
    points = [(math.log(a), math.log(b)) for a, b in zip(x, y, strict=True) if 0 < b < math.inf]
    u, v = (np.array(axis) for axis in zip(*points, strict=True)) if points else (np.zeros(0),) * 2
    spread = float(np.sum((u - u.mean()) ** 2)) if len(u) else 0.0
    if len(set(u)) < LEAST_POINTS:
        return None
    slope = float(np.sum((u - u.mean()) * (v - v.mean())) / spread)
    rest = v - v.mean() - slope * (u - u.mean())
    degrees = len(u) - 2
    residual = math.sqrt(float(np.sum(rest**2)) / degrees)
    error = residual / math.sqrt(spread)
    width = t_quantile((1 + confidence) / 2, degrees) * error
    exponent = Estimate(slope, width, error, degrees, len(u))
    return Line(float(u.mean()), float(v.mean()), exponent, residual, spread)


def power_law(sweep: Sweep, metric: str, arm: str, confidence: float) -> Line | None:
    """Return how a metric of an arm grows along a sweep; None where it cannot be told."""
    values = [_value(trial, metric, arm) for trial in sweep.trials]
    return fit(sweep.sizes, values, confidence)


def _value(trial: TrialData, metric: str, arm: str) -> float:
    """Return a metric's value in a trial; NaN where there is none."""
    declared = next((m for m in trial.declared.metrics if m.name == metric), None)
    if declared is None or trial.invalid:
        return math.nan
    return mean_value(trial, declared, arm)


def crossing(
    x: Sequence[float], a: Sequence[float], b: Sequence[float], confidence: float
) -> Middle | None:
    """Return where two power laws meet, with Fieller's interval; None where not among the sizes.

    The line through ``ln(a / b)`` is zero there; the interval holds every zero of a line that the
    points do not rule out.

    Source: E. C. Fieller, Some problems in interval estimation, 1954,
    https://doi.org/10.1111/j.2517-6161.1954.tb00159.x.
    """
    ratios = [p / q if q > 0 else math.nan for p, q in zip(a, b, strict=True)]
    line = fit(x, ratios, confidence)
    if line is None or not line.exponent.low * line.exponent.high > 0:
        return None
    slope, t = line.exponent.point, t_quantile((1 + confidence) / 2, line.exponent.degrees)
    noise = (t * line.residual) ** 2
    square = slope**2 - noise / line.spread
    root = math.sqrt(max(0.0, noise * (square / line.exponent.blocks + line.mean**2 / line.spread)))
    ends = sorted((-slope * line.mean + sign * root) / square for sign in (-1, 1))
    low, point, high = (
        math.exp(max(-700.0, min(line.centre + d, 700.0)))
        for d in (ends[0], -line.mean / slope, ends[1])
    )
    return Middle(low, point, high) if min(x) <= point <= max(x) else None


def change(sweep: Sweep, arm: str, confidence: float, metric: str = "step_time_s") -> Middle | None:
    """Return at which size an arm and the baseline change places; None where they do not."""
    baseline = sweep.trials[0].baseline
    mine, other = (
        [_value(trial, metric, name) for trial in sweep.trials] for name in (arm, baseline)
    )
    return crossing(sweep.sizes, mine, other, confidence)
