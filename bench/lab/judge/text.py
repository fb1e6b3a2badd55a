"""The one place that turns a number into text: three digits, a unit, an interval."""

from __future__ import annotations

import math
import textwrap

from keras_ab.bench.lab.judge import targets
from keras_ab.bench.lab.judge.effort import effort, plural
from keras_ab.bench.lab.judge.estimate import ROUNDING, Middle
from keras_ab.bench.lab.judge.findings import Finding
from keras_ab.bench.lab.judge.peaks import Peaks, Ranges
from keras_ab.bench.lab.judge.verdicts import Verdict
from keras_ab.bench.lab.record.records import ClaimRecord
from keras_ab.bench.lab.record.trial_data import TrialData

WIDTH = 80
"""Columns of a terminal that are used."""


def number(x: float, digits: int = 3) -> str:
    """Return a number with three significant digits and no exponent where it can be helped."""
    if math.isnan(x):
        return "–"
    if math.isinf(x):
        return "∞" if x > 0 else "−∞"
    if x == 0:
        return "0"
    places = digits - 1 - int(f"{x:.{digits - 1}e}".partition("e")[2])
    if -9 < places < 8:
        text = f"{round(x, places):.{max(0, places)}f}"
        return text.replace("-", "−")
    return f"{x:.{digits - 1}e}".replace("-", "−")


def seconds(x: float) -> str:
    """Return a duration with a fitting prefix."""
    for limit, scale, unit in ((1e-6, 1e9, "ns"), (1e-3, 1e6, "µs"), (1.0, 1e3, "ms")):
        if abs(x) < limit:
            return f"{number(x * scale)} {unit}"
    return f"{number(x)} s"


def size(x: float) -> str:
    """Return bytes in B, KiB, MiB or GiB (powers of 2¹⁰)."""
    for limit, scale, unit in ((2**10, 1, "B"), (2**20, 2**10, "KiB"), (2**30, 2**20, "MiB")):
        if abs(x) < limit:
            return f"{number(x / scale)} {unit}"
    return f"{number(x / 2**30)} GiB"


def bandwidth(x: float) -> str:
    """Return bytes per second in GB/s (10⁹)."""
    return f"{number(x / 1e9)} GB/s"


def percent(x: float) -> str:
    """Return a share as a percentage."""
    return f"{number(100 * x)} %"


def quantity(x: float, unit: str) -> str:
    """Return a value in its unit: one of a metric's, ``B/s`` or ``FLOP/s``."""
    if math.isnan(x):
        return "–"
    match unit:
        case "s":
            return seconds(x)
        case "B":
            return size(x)
        case "B/s":
            return bandwidth(x)
        case "FLOP" | "FLOP/s":
            return _thousands(x, unit)
        case "J":
            return seconds(x).replace("s", "J")
        case "1":
            return number(x)
        case _:
            return f"{number(x)} {unit}"


def _thousands(x: float, unit: str) -> str:
    for limit, scale, prefix in ((1e3, 1, ""), (1e6, 1e3, "k"), (1e9, 1e6, "M"), (1e12, 1e9, "G")):
        if abs(x) < limit:
            return f"{number(x / scale)} {prefix}{unit}"
    return f"{number(x / 1e12)} T{unit}"


def between(middle: Middle, unit: str) -> str:
    """Return a median with its interval, ``11.2 GB/s [11.0 GB/s, 11.3 GB/s]``."""
    point, low, high = (quantity(x, unit) for x in (middle.point, middle.low, middle.high))
    return f"{point} [{low}, {high}]"


def ratio(x: float) -> str:
    """Return a ratio, ``1.07×``: to 0.01 near one, to three digits elsewhere."""
    if 0.1 <= x < 10:
        return f"{x:.{_decimals(x)}f}×"
    return f"{number(x)}×"


def _decimals(x: float) -> int:
    return 2 if abs(x - 1) >= 0.0995 or x == 1 else 3


def compared(finding: Finding) -> str:
    """Return the estimate with its interval, ``1.07× [1.05, 1.09]`` or ``+0.012 [0, +0.020]``."""
    if special := _from_nothing(finding) or _over_ranges(finding):
        return special
    e = finding.estimate
    if not math.isfinite(e.half_width):
        return f"{brief(finding)}, no interval yet"
    low, point, high = (finding.shown(x) for x in (e.low, e.point, e.high))
    if finding.metric.scale == "difference":
        return f"{signed(point)} [{signed(low)}, {signed(high)}]"
    return ratios(point, low, high)


def _from_nothing(finding: Finding) -> str:
    """Return ``0 B, not 4.00 MiB`` where a ratio would be to nothing or of nothing, else ""."""
    arm, baseline = finding.arm_value, finding.baseline_value
    if finding.metric.unit != "B" or bool(arm) == bool(baseline):
        return ""
    return f"{size(arm)}, not {size(baseline)}"


def _over_ranges(finding: Finding) -> str:
    """Return ``0.93×, least to least (18.5 to 20.0 MiB, …)`` where only ranges are known, or ""."""
    e = finding.estimate
    if not isinstance(e, Ranges):
        return ""
    if e.same:
        return f"the same range, {sizes(e.arm)}"
    least = ratio(finding.shown(e.point))
    return f"{least}, least to least ({sizes(e.arm)}, baseline {sizes(e.baseline)})"


def sizes(peaks: Peaks) -> str:
    """Return the range of peaks of memory, or the one that they all are."""
    least, most = (size(x) for x in (peaks.least, peaks.most))
    if least == most:
        return least
    number, _, unit = least.partition(" ")
    return f"{number if most.endswith(unit) else least} to {most}"


def ratios(point: float, low: float, high: float) -> str:
    """Return a ratio with its interval, ``1.07× [1.05, 1.09]``."""
    if low >= 0.1 and high < 10:  # as many decimals at both ends as at the point
        places = _decimals(point)
        return f"{point:.{places}f}× [{low:.{places}f}, {high:.{places}f}]"
    return f"{ratio(point)} [{ratio(low)[:-1]}, {ratio(high)[:-1]}]"


def signed(x: float) -> str:
    """Return a difference with its sign, to a thousandth, or to one digit if less; none is 0."""
    if x == 0 or not math.isfinite(x):
        return number(x)
    digits = f"{abs(x):.3f}" if abs(x) >= 0.0005 else number(abs(x), 1)
    return ("+" if x > 0 else "−") + digits


def blocks(many: float, word: str = "block") -> str:
    """Return a count with its noun, of which no number may be enough."""
    return count(round(many), word) if math.isfinite(many) else f"no number of {plural(word)}"


def power(finding: Finding, *, brief: bool = False) -> str:
    """Say what an inconclusive or equivalent result could have seen, and what would settle it."""
    difference = finding.metric.scale == "difference"
    word = finding.counts
    smallest = finding.smallest_effect
    if isinstance(finding.estimate, Ranges):
        return "within what the order of operations moves"
    if not math.isfinite(smallest):
        return f"{blocks(finding.estimate.blocks, word)}: too few to say anything"
    seen = number(smallest) if difference else _share(smallest)
    text = seen if brief else f"a difference of {seen} would have been found 4 times in 5"
    if finding.verdict is not Verdict.INCONCLUSIVE:
        return text
    if targets.is_of_seeds(finding.metric):
        return f"{text}; {targets.OF_SEEDS}"
    takes = effort(finding.blocks_to_settle, finding.estimate.blocks, finding.block_s, word)
    if not takes:
        return f"{text}; the estimate lies where {blocks(math.inf, word)} would settle it"
    return f"{text}; {takes} would settle it"


def is_exact(finding: Finding) -> bool:
    """Tell whether a finding came out the same every time: it has no interval to show."""
    return finding.estimate.half_width <= ROUNDING


def compact(finding: Finding) -> str:
    """Return the estimate with its interval, if it has one, and what has to be known beside it."""
    found = _compact(finding)
    return f"{found} ({finding.note})" if finding.note else found


def _compact(finding: Finding) -> str:
    """Return the estimate with its interval; sizes that came out the same every time have none."""
    special = isinstance(finding.estimate, Ranges) or _from_nothing(finding)
    if special or not is_exact(finding):
        return compared(finding)
    if abs(finding.estimate.point) < ROUNDING:
        return "the same"
    point = finding.shown(finding.estimate.point)
    return f"{signed(point) if finding.metric.scale == 'difference' else _exact(point)} exactly"


def _exact(x: float) -> str:
    """Return a ratio that is known exactly: to three digits where two decimals are not all."""
    cut = 0.1 <= x < 1 and _decimals(x) == 2 and not math.isclose(round(x, 2), x, rel_tol=1e-4)
    return f"{x:.3f}×" if cut else ratio(x)


def brief(finding: Finding) -> str:
    """Return the estimate alone."""
    if from_nothing := _from_nothing(finding):
        return from_nothing
    if isinstance(finding.estimate, Ranges) and finding.estimate.same:
        return "the same"
    point = finding.shown(finding.estimate.point)
    return signed(point) if finding.metric.scale == "difference" else ratio(point)


def ranges(finding: Finding) -> str:
    """Return the ranges behind a ratio of which nothing else is known, else ""."""
    e = finding.estimate
    if not isinstance(e, Ranges) or _from_nothing(finding):
        return ""
    return sizes(e.arm) if e.same else _both(e)


def _both(found: Ranges) -> str:
    return f"{sizes(found.arm)}, baseline {sizes(found.baseline)}"


def settled(finding: Finding) -> str:
    """Return the verdict where it is one; of what is open, `left_open` says more."""
    return "" if finding.verdict is Verdict.INCONCLUSIVE else str(finding.verdict)


def left_open(finding: Finding) -> str:
    """Return between what an interval lies, ``between 4 % faster and 6 % slower``."""
    e = finding.estimate
    if e.blocks < finding.thresholds.min_blocks or not math.isfinite(e.half_width):
        return f"{blocks(e.blocks, finding.counts)}: too few to conclude anything"
    if isinstance(e, Ranges):
        return f"{_both(e)}: within what the order of operations moves"
    low, high = (_beside_none(finding, x) for x in (e.low, e.high))
    return f"between {low} and {high}"


def _beside_none(finding: Finding, x: float) -> str:
    """Return one end of an interval in words, ``4 % faster``."""
    shown, difference = finding.shown(x), finding.metric.scale == "difference"
    away = number(abs(shown), 2) if difference else f"{number(100 * abs(shown - 1), 2)} %"
    down, up = ("faster", "slower") if finding.metric.unit == "s" else ("less", "more")
    return f"{away} {down if x < 0 else up}"


def bound(at_least: float | None, at_most: float | None, scale: str) -> str:
    """Return a claim's bounds in words."""
    parts = (("at least", at_least), ("at most", at_most))
    return ", ".join(f"{word} {bound_value(x, scale)}" for word, x in parts if x is not None)


def bound_value(x: float, scale: str) -> str:
    """Return a ratio or a difference by itself."""
    return signed(x) if scale == "difference" else ratio(x)


def wanted(claim: ClaimRecord, data: TrialData) -> str:
    """Return what must be found for a claim to be true."""
    if claim.attempt:
        tried = data.attempt(claim.arm, claim.attempt)
        what = tried.says if tried else claim.attempt
        return f"“{what}” {'works' if claim.works else 'does not work'}"
    metric = data.metric(claim.metric)
    said = f"{metric.title} {bound(claim.at_least, claim.at_most, metric.scale)}"
    return f"{said} against {claim.against}" if claim.against else said


def level(confidence: float) -> str:
    """Return the level of an interval, ``95 %``."""
    return f"{100 * confidence:g} %"


def beyond(x: float, scale: str) -> str:
    """Return a distance from "no difference" (``±2.0 %``), given on the estimate's scale."""
    return f"±{number(x)}" if scale == "difference" else f"±{_share(x)}"


def _share(log: float) -> str:
    """Return how far a log ratio lies from none, as a share; one beyond all numbers has an end."""
    return percent(math.expm1(min(log, 700.0)))


def error(x: float | None) -> str:
    """Return a relative error, which spans many orders of magnitude."""
    if x is None:
        return "–"
    return "0" if x == 0 else f"{x:.1e}".replace("-", "−")


def fact(name: str, value: object) -> str:
    """Return a recorded fact, its unit told by the end of its name."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    for suffix, show in (("_bytes", size), ("_s", seconds), ("_hz", _hertz)):
        if name.endswith(suffix) and abs(value) < 1e300:
            return show(value)
    return str(value)


def _hertz(x: float) -> str:
    return f"{number(x / 1e6)} MHz" if x < 1e9 else f"{number(x / 1e9)} GHz"


def count(n: int, word: str) -> str:
    """Return ``1 run`` or ``2 runs``."""
    return f"{n} {word if n == 1 else plural(word)}"


def wrapped(line: str, indent: int = 2) -> list[str]:
    """Return a line as lines that fit a terminal."""
    return textwrap.wrap(line, WIDTH, initial_indent=" " * indent, subsequent_indent=" " * 6)
