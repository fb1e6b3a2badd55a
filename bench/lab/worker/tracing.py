"""From a framework's trace to where the time of a step goes, and to a file that Perfetto opens."""

from __future__ import annotations

import gzip
import json
import math
import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median
from typing import Any, Protocol, TypeVar

from keras_ab.bench.lab.words.errors import LabError
from keras_ab.bench.lab.words.steps import OperationShare, StepProfile

T = TypeVar("T")
SAMPLE, HAND_OVER = "keras-ab sample", "keras-ab hand over"
"""Marks in a trace: some steps with the wait for their end; their handing over to the device."""

XPLANES = "*.xplane.pb"
"""Names of the traces that TensorBoard reads."""

FILE = "trace.json.gz"
"""Name of the trace in the format that Chrome and Perfetto read."""


@dataclass(frozen=True)
class Event:
    """One stretch of one thread or stream.

    Args:
        line: the thread or stream.
        name: as the framework has it.
        start_ns: since any moment that all events of a trace share.
        end_ns: on the same clock.
        operation: the kind of work that the device does in it; empty for all else.
        on_accelerator: whether that device is not the host itself.
    """

    line: str
    name: str
    start_ns: float
    end_ns: float
    operation: str = ""
    on_accelerator: bool = False


@dataclass(frozen=True)
class Allocation:
    """A piece of device memory, handed out or taken back.

    Args:
        at_ns: on the clock of the trace's events.
        address: of the piece.
        held_bytes: its size; 0 where it is taken back.
        in_use_bytes: of all pieces, from then on.
        operation: the kind of operation that asked for it.
    """

    at_ns: float
    address: int
    held_bytes: int
    in_use_bytes: int
    operation: str = ""


@dataclass(frozen=True)
class Trace:
    """What a profiler recorded.

    Args:
        events: what lasts.
        allocations: what the device's allocator did, where the profiler tells.
    """

    events: Sequence[Event]
    allocations: Sequence[Allocation] = ()


class Tracer(Protocol):
    """One trace under way, by the framework's own profiler; made by `Backend.Tracer(folder)`."""

    def mark(self, name: str, number: int) -> AbstractContextManager[Any]:
        """Mark what happens inside, in the trace."""

    def stop(self) -> Trace:
        """End the trace, leave its files in the folder, and return what is in it."""


@dataclass(frozen=True)
class _Sample:
    """One marked sample: its length, what each operation has of it, how often each began."""

    length_ns: float
    hand_over_ns: float
    shares_ns: dict[str, float]
    calls: Counter[str]
    longest_gap_ns: float

    def at_pace(self, pace: float) -> _Sample:
        """Return what the sample would have been in a round of pace 1."""
        return _Sample(
            length_ns=self.length_ns / pace,
            hand_over_ns=self.hand_over_ns / pace,
            shares_ns={name: share / pace for name, share in self.shares_ns.items()},
            calls=self.calls,
            longest_gap_ns=self.longest_gap_ns / pace,
        )


def paces(rounds: Sequence[Sequence[float]]) -> list[float]:
    """Return how long each round took, 1 in the middle: a machine's speed wanders.

    Args:
        rounds: of each arm what its samples lasted, round by round.
    """
    log_means = [fmean(map(math.log, arms)) for arms in zip(*rounds, strict=True)]
    middle = median(log_means) if log_means else 0.0
    return [math.exp(mean - middle) for mean in log_means]


def middle_half(values: Iterable[T], key: Callable[[T], float]) -> list[T]:
    """Return the values without the quarters at both ends, which something else may have had."""
    ordered = sorted(values, key=key)
    quarter = len(ordered) // 4
    return ordered[quarter : len(ordered) - quarter]


def step_profile(events: Sequence[Event], steps: int, paces: Sequence[float]) -> StepProfile:
    """Return where the time of a step goes.

    A moment belongs in equal parts to the operations that are under way in it; of those that are
    nested, to the innermost. All times of a sample are divided by the pace of its round; then the
    middle half of the samples by length counts, so that a stretch in which something else had the
    machine does not.

    Args:
        events: a trace with marked samples.
        steps: in each of them.
        paces: of the rounds they were taken in, in their order.
    """
    samples = list(_samples(events))
    if not samples or len(samples) != len(paces):
        raise LabError(
            "a trace has the steps that were taken under it",
            f"{len(events)} events, {len(samples)} of {len(paces)} samples marked {SAMPLE!r}",
            "look into the trace; the profiler may have run out of room",
        )
    at_one_pace = map(_Sample.at_pace, samples, paces)
    kept = middle_half(at_one_pace, key=lambda sample: sample.length_ns)
    total = steps * len(kept)
    shares: defaultdict[str, float] = defaultdict(float)
    calls: Counter[str] = Counter()
    for sample in kept:
        calls.update(sample.calls)
        for operation, share in sample.shares_ns.items():
            shares[operation] += share
    length = sum(sample.length_ns for sample in kept)
    return StepProfile(
        steps=total,
        step_time_s=length / total / 1e9,
        hand_over_time_s=sum(sample.hand_over_ns for sample in kept) / total / 1e9,
        idle_time_s=(length - sum(shares.values())) / total / 1e9,
        longest_gap_s=max(sample.longest_gap_ns for sample in kept) / 1e9,
        operations=tuple(
            OperationShare(operation, calls[operation] / total, share / total / 1e9)
            for operation, share in sorted(shares.items(), key=lambda item: -item[1])
        ),
    )


def _samples(events: Sequence[Event]) -> Iterator[_Sample]:
    on_accelerator = any(event.on_accelerator for event in events)
    lines: defaultdict[str, list[Event]] = defaultdict(list)
    for event in events:
        if event.operation and event.on_accelerator == on_accelerator:
            lines[event.line].append(event)
    pieces = sorted(
        (piece for line in lines.values() for piece in innermost(line)),
        key=lambda piece: piece.start_ns,
    )
    begun = sorted((event for line in lines.values() for event in line), key=_start)
    handed = sorted((event for event in events if event.name == HAND_OVER), key=_start)
    longest = max((piece.end_ns - piece.start_ns for piece in pieces), default=0.0)
    for mark in sorted((event for event in events if event.name == SAMPLE), key=_start):
        near = _starting(pieces, mark.start_ns - longest, mark.end_ns)
        shares, gap = _shared(near, mark.start_ns, mark.end_ns)
        inside = _starting(begun, mark.start_ns, mark.end_ns)
        handing = _starting(handed, mark.start_ns, mark.end_ns)
        yield _Sample(
            length_ns=mark.end_ns - mark.start_ns,
            hand_over_ns=sum(event.end_ns - event.start_ns for event in handing),
            shares_ns=shares,
            calls=Counter(event.operation for event in inside),
            longest_gap_ns=gap,
        )


def _start(event: Event) -> float:
    return event.start_ns


def _starting(events: Sequence[Event], since: float, until: float) -> Sequence[Event]:
    """Return which of some events, in the order of their start, start in a stretch of time."""
    return events[bisect_left(events, since, key=_start) : bisect_left(events, until, key=_start)]


def innermost(line: Iterable[Event]) -> Iterator[Event]:
    """Yield the pieces of one thread's or stream's time, each with the innermost event in it."""
    under_way: list[Event] = []
    now = -math.inf
    for event in [*sorted(line, key=lambda event: (event.start_ns, -event.end_ns)), None]:
        until = event.start_ns if event else math.inf
        while under_way and now < until:
            top = under_way[-1]
            stop = min(top.end_ns, until)
            if stop > now:
                yield replace(top, start_ns=now, end_ns=stop)
                now = stop
            if top.end_ns <= until:
                under_way.pop()
        if event:
            now = until
            under_way.append(event)


def _shared(pieces: Sequence[Event], start: float, end: float) -> tuple[dict[str, float], float]:
    """Share a stretch of time among the pieces in it; return that and the longest gap."""
    inside = [piece for piece in pieces if piece.end_ns > start and piece.start_ns < end]
    changes = [(max(piece.start_ns, start), 1, piece.operation) for piece in inside]
    changes += [(min(piece.end_ns, end), -1, piece.operation) for piece in inside]
    shares: defaultdict[str, float] = defaultdict(float)
    under_way: Counter[str] = Counter()
    now, idle, gap = start, 0.0, 0.0
    for moment, change, operation in [*sorted(changes), (end, 0, "")]:
        many = under_way.total()
        for name, count in under_way.items() if many else ():
            shares[name] += (moment - now) * count / many
        if moment > now:
            idle = 0.0 if many else idle + moment - now
            gap = max(gap, idle)
        under_way[operation] += change
        if not under_way[operation]:
            del under_way[operation]
        now = moment
    return dict(shares), gap


def kernel_kind(name: str) -> str:
    """Return a kernel's or a compiled operation's name without number, types and arguments."""
    bare = re.split(r"[<(]", name.removeprefix("void "))[0]
    return re.sub(r"[._\d]+$", "", bare) or name


def events_in(
    planes: Iterable[Any], read: Callable[[Any], Iterable[Event]], folder: Path
) -> list[Event]:
    """Return what lasts in XPlanes (or files of them); write it to a folder for Perfetto too."""
    events = [event for plane in planes for event in read(plane)]
    write_chrome(events, folder / FILE)
    return events


def write_chrome(events: Iterable[Event], path: Path) -> None:
    """Write a trace in the format that Chrome and Perfetto read.

    Source: Google, Trace Event Format, 2016,
    https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU.
    """
    numbers: dict[str, int] = {}
    found = []
    for event in events:
        thread = numbers.setdefault(event.line, len(numbers) + 1)
        found.append(
            {
                "ph": "X",
                "pid": 1,
                "tid": thread,
                "name": event.name,
                "ts": event.start_ns / 1e3,
                "dur": (event.end_ns - event.start_ns) / 1e3,
                "cat": event.operation or "host",
            }
        )
    threads = [
        {"ph": "M", "pid": 1, "tid": n, "name": "thread_name", "args": {"name": line}}
        for line, n in numbers.items()
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        json.dump({"traceEvents": [*threads, *found], "displayTimeUnit": "ms"}, file)
