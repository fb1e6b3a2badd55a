"""How far each arm is from what its machine does at best: utilisation, bandwidth, roofline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from markupsafe import Markup

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.ceilings import TITLES, ceilings_in, rate
from keras_ab.bench.lab.record.records import Ceiling
from keras_ab.reports.judged import JudgedRun, JudgedTrial
from keras_ab.reports.legible import SANE, short_names
from keras_ab.reports.machines import Machine
from keras_ab.reports.roofline import Place, roofline


@dataclass(frozen=True)
class CeilingRow:
    """One ceiling, as the page shows it."""

    title: str
    found: str
    on: str


@dataclass(frozen=True)
class Ceilings:
    """All that a run says about its machine's ceilings."""

    anchor: str
    run: str
    rows: list[CeilingRow]
    places: list[Place]
    silent: list[str]
    """Arms whose work is not known, each with the reason."""
    figure: Markup | None


def of_machines(machines: Iterable[Machine]) -> list[Ceilings]:
    """Return what the newest run of each machine that measured its ceilings says about them."""
    found = []
    for number, machine in enumerate(machines, 1):
        told = (of_run(run, f"ceilings{number}") for run in reversed(machine.runs))
        found.append(next(filter(None, told), None))
    return [ceilings for ceilings in found if ceilings]


def of_run(run: JudgedRun, anchor: str) -> Ceilings | None:
    """Return what a run says about its machine's ceilings; None where it measured none."""
    measured = ceilings_in(run.run.records)
    if not measured:
        return None
    rates = {name: rate(record).point for name, record in measured.items()}
    framework = run.header.environment.get("framework")
    told = framework if isinstance(framework, dict) else {}
    # Runs that tell the precision of float32 products count the work of a step by it.
    tf32 = told.get("tf32") is True and "float32_products" not in told
    names = short_names([trial.data.declared for trial in run.trials])
    named = list(zip(names, run.trials, strict=True))
    places = list(_places(named, rates, tf32=tf32))
    return Ceilings(
        anchor=anchor,
        run=run.header.run,
        rows=[_row(record) for record in measured.values()],
        places=places,
        silent=list(_silent(named)),
        figure=roofline(places, rates, f"{anchor}-roofline"),
    )


def _row(record: Ceiling) -> CeilingRow:
    on = text.size(record.data_bytes) if record.data_bytes else "–"
    found = text.between(rate(record), record.unit)
    return CeilingRow(TITLES.get(record.name, record.name), found, on)


def _places(
    named: Iterable[tuple[str, JudgedTrial]], rates: Mapping[str, float], *, tf32: bool
) -> Iterator[Place]:
    number = 1
    for name, trial in named:
        for arm in trial.data.declared.arms:
            found = _place(number, name, trial, arm.name, rates, tf32=tf32)
            if found:
                yield found
                number += 1


def _place(
    number: int, name: str, trial: JudgedTrial, arm: str, rates: Mapping[str, float], *, tf32: bool
) -> Place | None:
    """Return where an arm stands; None where its work, its time or a ceiling is not known."""
    work, step = trial.data.work.get(arm), trial.data.step_time_s(arm)
    copies = rates.get("device_copy", rates.get("host_copy"))
    if trial.data.invalid or not work or not work.least_moved_bytes or not copies:
        return None
    products = {kind: _product_rate(kind, rates, tf32=tf32) for kind in work.flop}
    if not all(products.values()):
        return None
    place = Place(
        number=number,
        trial=name,
        arm=arm,
        is_baseline=arm == trial.data.baseline,
        flop=sum(work.flop.values()),
        moved_bytes=work.least_moved_bytes,
        step_time_s=step,
        best_products_s=sum(flop / products[kind] for kind, flop in work.flop.items()),
        best_copies_s=work.least_moved_bytes / copies,
    )
    sizes = (place.flop, place.moved_bytes, step, place.best_products_s, place.best_copies_s)
    return place if all(1 / SANE < size < SANE for size in sizes) else None


def _product_rate(kind: str, rates: Mapping[str, float], *, tf32: bool) -> float:
    """Return the ceiling of products of a type; 0 where it was not measured."""
    if kind == "float32" and tf32 and "matmul_tf32" in rates:
        return rates["matmul_tf32"]
    return rates.get(f"matmul_{kind}", 0.0)


def _silent(named: Iterable[tuple[str, JudgedTrial]]) -> Iterator[str]:
    for name, trial in named:
        for arm, work in trial.data.work.items():
            if work.reason:
                yield f"{name}, {arm}: {work.reason}"
